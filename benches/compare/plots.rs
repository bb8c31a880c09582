//! Plots as SVG: bars of a row's main figure, or memory over time.

use std::path::Path;

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::document::number;
use crate::plan::{Row, Server};
use crate::results::Results;

const WIDTH: i32 = 820;
const BAR: i32 = 22;
const GAP: i32 = 10;
const TOP: i32 = 44;
/// Where bars begin, and what is kept for the number behind the longest one.
const LEFT: i32 = 290;
const RIGHT: i32 = 110;
const OURS: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const OTHERS: RGBColor = RGBColor(0x9a, 0xa5, 0xb1);
const INK: RGBColor = RGBColor(0x33, 0x33, 0x33);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws a row's plot into a file.
pub(crate) fn draw(results: &Results, row: &Row, path: &Path) -> anyhow::Result<()> {
    let lines = if row.name == "soak" { memory(results, row) } else { Vec::new() };
    let bars = bars(results, row);
    let count = i32::try_from(bars.len())?;
    let height = if lines.is_empty() { TOP + count * (BAR + GAP) + GAP } else { 300 };
    let size = (WIDTH.unsigned_abs(), height.unsigned_abs());
    let area = SVGBackend::new(path, size).into_drawing_area();
    area.fill(&WHITE).map_err(|error| anyhow!("{error}"))?;
    if lines.is_empty() {
        chart(&area, row, &bars)?;
    } else {
        over_time(&area, &lines, height)?;
    }
    area.present().map_err(|error| anyhow!("{}: {error}", path.display()))
}

struct Bar {
    name: String,
    value: f64,
    is_ours: bool,
}

fn bars(results: &Results, row: &Row) -> Vec<Bar> {
    let bar = |case: crate::results::Case| {
        let title = Server::title(&case.server).replace(['*', '`'], "");
        let setting =
            if case.setting.is_empty() { String::new() } else { format!(", {}", case.setting) };
        Some(Bar {
            name: format!("{title}{setting}"),
            value: results.median(&case, row.main.0)?,
            is_ours: case.server.starts_with("banter"),
        })
    };
    results.cases(row.name).into_iter().filter_map(bar).collect()
}

fn write(area: &Area<'_>, text: &str, at: (i32, i32), size: i32) -> anyhow::Result<()> {
    let style = ("sans-serif", size).into_font().color(&INK);
    area.draw(&Text::new(text.to_owned(), at, style)).map_err(|error| anyhow!("{error}"))
}

fn chart(area: &Area<'_>, row: &Row, bars: &[Bar]) -> anyhow::Result<()> {
    let (figure, less_is_better) = row.main;
    let unit =
        row.columns.iter().find(|(_, name)| *name == figure).map_or(figure, |(title, _)| title);
    let which = if less_is_better { "less is better" } else { "more is better" };
    write(area, &format!("{}: {unit} ({which})", row.title), (12, 12), 16)?;
    let longest = bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
    let mut top = TOP;
    for bar in bars {
        let length = f64::from(WIDTH - LEFT - RIGHT) * bar.value / longest;
        // The longest one is as long as there is room; none is negative.
        let right = LEFT + (length.max(1.0) as i32);
        let color = if bar.is_ours { OURS } else { OTHERS };
        let shape = Rectangle::new([(LEFT, top), (right, top + BAR)], color.filled());
        area.draw(&shape).map_err(|error| anyhow!("{error}"))?;
        write(area, &bar.name, (12, top + 4), 14)?;
        write(area, &number(bar.value), (right + 6, top + 4), 14)?;
        top += BAR + GAP;
    }
    Ok(())
}

type Line = Vec<(f64, f64)>;

fn memory(results: &Results, row: &Row) -> Vec<Line> {
    let cases = results.cases(row.name);
    let lines = cases.iter().flat_map(|case| results.of(case)).map(|run| run.memory());
    lines.filter(|line| line.len() > 1).collect()
}

fn over_time(area: &Area<'_>, lines: &[Line], height: i32) -> anyhow::Result<()> {
    let points = || lines.iter().flatten();
    let end = points().map(|(at, _)| *at).fold(1.0, f64::max);
    let most = points().map(|(_, bytes)| *bytes).fold(1.0, f64::max) * 1.1;
    let (left, top, right, bottom) = (80, TOP, WIDTH - 20, height - 40);
    write(area, "Resident memory over time, MB", (12, 12), 16)?;
    for fifth in 0..=5 {
        let share = f64::from(fifth) / 5.0;
        let y = bottom - (f64::from(bottom - top) * share) as i32;
        let line = PathElement::new([(left, y), (right, y)], OTHERS.mix(0.5));
        area.draw(&line).map_err(|error| anyhow!("{error}"))?;
        write(area, &number(most * share / 1e6), (24, y - 7), 13)?;
        let x = left + (f64::from(right - left) * share) as i32;
        write(area, &format!("{:.0} s", end * share), (x - 14, bottom + 10), 13)?;
    }
    for line in lines {
        let place = |(at, bytes): &(f64, f64)| {
            let x = left + (f64::from(right - left) * at / end) as i32;
            (x, bottom - (f64::from(bottom - top) * bytes / most) as i32)
        };
        let path =
            PathElement::new(line.iter().map(place).collect::<Vec<_>>(), OURS.stroke_width(2));
        area.draw(&path).map_err(|error| anyhow!("{error}"))?;
    }
    Ok(())
}

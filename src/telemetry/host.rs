//! What the server takes of its machine, read when the metrics are asked for.
//!
//! In a container the machine is not what counts: where a control group (version 2) has a limit,
//! shares are of that. Figures that the system does not give are left out.

use std::fmt::{self, Debug};
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use rustix::fs::statvfs;

const MEBIBYTE: f64 = 1_048_576.0;

/// Gives the use of processors, memory and disk as metrics.
pub struct HostCollector {
    system: System,
    data_dir: PathBuf,
    cpu: Mutex<Cpu>,
}

impl Debug for HostCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostCollector")
    }
}

impl HostCollector {
    /// With the file system of this folder as the disk.
    pub fn new(data_dir: &Path) -> Self {
        Self::of(System::here(), data_dir)
    }

    fn of(system: System, data_dir: &Path) -> Self {
        let last = system.cpu_time();
        let cpu = Cpu { percent: last.map(|_| 0.0), last };
        Self { system, data_dir: data_dir.to_owned(), cpu: Mutex::new(cpu) }
    }

    /// The use of the processors since this was asked last.
    fn cpu_percent(&self) -> Option<f64> {
        let mut cpu = self.cpu.lock();
        let now = self.system.cpu_time()?;
        if let Some(percent) = now.since(cpu.last.as_ref()?) {
            *cpu = Cpu { last: Some(now), percent: Some(percent) };
        }
        cpu.percent
    }

    /// The share of the disk that is not there for the server any more, as `df` counts it.
    fn disk_percent(&self) -> Option<f64> {
        let disk = statvfs(&self.data_dir).ok()?;
        let used = disk.f_blocks.checked_sub(disk.f_bfree)? as f64;
        percent(used, used + disk.f_bavail as f64)
    }
}

impl Collector for HostCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let memory_mb = self.system.resident_bytes().map(|bytes| bytes / MEBIBYTE);
        for (name, help, value) in [
            (
                "cpu_usage_percent",
                "Use of the processors since the last scrape",
                self.cpu_percent(),
            ),
            ("memory_usage_percent", "Use of the memory", self.system.memory_percent()),
            ("memory_usage_mb", "Memory of the server's process, in MiB", memory_mb),
            ("disk_usage_percent", "Use of the disk that DATA_DIR is on", self.disk_percent()),
        ] {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

/// What was used up to some moment.
struct Cpu {
    last: Option<CpuTime>,
    /// The use found last, for who asks again before the figures have moved.
    percent: Option<f64>,
}

/// Processor time, of the control group or of the machine.
#[derive(Debug, Clone, Copy, PartialEq)]
enum CpuTime {
    /// Seconds used in the group up to a moment, and how many processors it may use.
    Group { used: f64, at: Instant, processors: f64 },
    /// Ticks of all processors, and those in which they had work.
    Machine { busy: f64, all: f64 },
}

impl CpuTime {
    /// The share of what could be used that was. `None` where that can't be said: no time has
    /// passed, or a limit has come or gone.
    fn since(&self, earlier: &Self) -> Option<f64> {
        match (*self, *earlier) {
            (
                Self::Group { used, at, processors },
                Self::Group { used: used_before, at: before, .. },
            ) => percent(used - used_before, at.duration_since(before).as_secs_f64() * processors),
            (Self::Machine { busy, all }, Self::Machine { busy: busy_before, all: all_before }) => {
                percent(busy - busy_before, all - all_before)
            }
            _ => None,
        }
    }
}

fn percent(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| (part / whole * 100.0).clamp(0.0, 100.0))
}

/// Where the system says how it is.
struct System {
    proc: PathBuf,
    cgroups: PathBuf,
}

impl System {
    fn here() -> Self {
        Self { proc: "/proc".into(), cgroups: "/sys/fs/cgroup".into() }
    }

    fn cpu_time(&self) -> Option<CpuTime> {
        self.group_cpu().or_else(|| self.machine_cpu())
    }

    /// Of the smallest quota among the group's and those above it.
    fn group_cpu(&self) -> Option<CpuTime> {
        let quota = |group: &PathBuf| {
            let limit = read(group.join("cpu.max"))?;
            let (quota, period) = limit.trim().split_once(' ')?;
            Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
        };
        let limited = self.groups().into_iter().filter_map(|group| Some((quota(&group)?, group)));
        let (processors, group) = limited.min_by(|(a, _), (b, _)| a.total_cmp(b))?;
        let used_us: f64 = field(&read(group.join("cpu.stat"))?, "usage_usec")?;
        Some(CpuTime::Group { used: used_us / 1e6, at: Instant::now(), processors })
    }

    fn machine_cpu(&self) -> Option<CpuTime> {
        let stat = read(self.proc.join("stat"))?;
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        // user, nice, system, idle, iowait, irq, softirq, steal; what guests use is in user already.
        let ticks: Vec<f64> = line.split_whitespace().take(8).flat_map(str::parse).collect();
        let all: f64 = ticks.iter().sum();
        let idle = ticks.get(3)? + ticks.get(4)?;
        Some(CpuTime::Machine { busy: all - idle, all })
    }

    fn memory_percent(&self) -> Option<f64> {
        self.group_memory().or_else(|| self.machine_memory())
    }

    /// Of the smallest limit among the group's and those above it. Pages of files that were not used
    /// for a while are given back before anything is refused, so they don't count.
    fn group_memory(&self) -> Option<f64> {
        let limit = |group: &PathBuf| read(group.join("memory.max"))?.trim().parse::<f64>().ok();
        let limited = self.groups().into_iter().filter_map(|group| Some((limit(&group)?, group)));
        let (limit, group) = limited.min_by(|(a, _), (b, _)| a.total_cmp(b))?;
        let used: f64 = read(group.join("memory.current"))?.trim().parse().ok()?;
        let files: f64 = field(&read(group.join("memory.stat"))?, "inactive_file")?;
        percent(used - files, limit)
    }

    fn machine_memory(&self) -> Option<f64> {
        let text = read(self.proc.join("meminfo"))?;
        let (all, free): (f64, f64) = (field(&text, "MemTotal:")?, field(&text, "MemAvailable:")?);
        percent(all - free, all)
    }

    fn resident_bytes(&self) -> Option<f64> {
        let kib: f64 = field(&read(self.proc.join("self/status"))?, "VmRSS:")?;
        Some(kib * 1024.0)
    }

    /// The folders of the process's control group and of those above it, without the root's, which
    /// has no limits.
    fn groups(&self) -> Vec<PathBuf> {
        let text = read(self.proc.join("self/cgroup")).unwrap_or_default();
        let Some(path) = text.lines().find_map(|line| line.strip_prefix("0::/")) else {
            return Vec::new();
        };
        // In a namespace of its own, as in a container, the group is the root that is seen.
        let own = self.cgroups.join(path);
        own.ancestors().take_while(|at| at.starts_with(&self.cgroups)).map(Into::into).collect()
    }
}

fn read(path: PathBuf) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// The number behind a name at the start of a line.
fn field<T: FromStr>(text: &str, name: &str) -> Option<T> {
    let mut lines = text.lines().map(str::split_whitespace);
    lines.find_map(|mut words| (words.next()? == name).then(|| words.next()?.parse().ok())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A system made of files.
    struct Made(tempfile::TempDir);

    impl Made {
        fn new(files: &[(&str, &str)]) -> Self {
            let made = Self(tempfile::tempdir().unwrap());
            for (path, text) in files {
                made.put(path, text);
            }
            made
        }

        fn put(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn system(&self) -> System {
            System { proc: self.0.path().join("proc"), cgroups: self.0.path().join("cgroup") }
        }
    }

    const STAT: (&str, &str) = ("proc/stat", "cpu  100 0 50 800 50 0 0 0 7 0\ncpu0 1 1 1 1\n");
    const MEMINFO: (&str, &str) =
        ("proc/meminfo", "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 400 kB\n");

    #[test]
    fn without_a_limit_the_machine_counts() {
        let made = Made::new(&[
            STAT,
            MEMINFO,
            ("proc/self/cgroup", "0::/app\n"),
            ("cgroup/app/memory.max", "max\n"),
            ("cgroup/app/cpu.max", "max 100000\n"),
        ]);
        assert_eq!(made.system().memory_percent(), Some(60.0));
        let host = HostCollector::of(made.system(), made.0.path());
        assert_eq!(host.cpu_percent(), Some(0.0), "no time has passed");
        made.put(STAT.0, "cpu  120 0 60 850 70 0 0 0 9 0\n");
        assert_eq!(host.cpu_percent(), Some(30.0));
        assert_eq!(host.cpu_percent(), Some(30.0), "no time has passed since");
    }

    #[test]
    fn the_smallest_limit_of_a_group_counts() {
        let made = Made::new(&[
            STAT,
            MEMINFO,
            ("proc/self/cgroup", "1:cpu:/old\n0::/pod/app\n"),
            ("cgroup/pod/app/memory.max", "max\n"),
            ("cgroup/pod/memory.max", "2000\n"),
            ("cgroup/pod/memory.current", "900\n"),
            ("cgroup/pod/memory.stat", "anon 300\ninactive_file 400\n"),
            ("cgroup/memory.max", "9000\n"),
            ("cgroup/pod/app/cpu.max", "50000 100000\n"),
            ("cgroup/pod/app/cpu.stat", "usage_usec 2500000\nuser_usec 1\n"),
            ("cgroup/pod/cpu.max", "400000 100000\n"),
        ]);
        assert_eq!(made.system().memory_percent(), Some(25.0));
        let Some(CpuTime::Group { used, processors, .. }) = made.system().cpu_time() else {
            panic!("the group's quota was not found");
        };
        assert_eq!((used, processors), (2.5, 0.5));
    }

    #[test]
    fn a_group_that_uses_its_whole_quota_is_at_a_hundred() {
        let at = Instant::now();
        let time = |used, seconds| CpuTime::Group {
            used,
            at: at + std::time::Duration::from_secs(seconds),
            processors: 0.5,
        };
        assert_eq!(time(12.0, 10).since(&time(7.0, 0)), Some(100.0));
        assert_eq!(time(8.0, 10).since(&time(7.0, 0)), Some(20.0));
        let machine = CpuTime::Machine { busy: 1.0, all: 2.0 };
        assert_eq!(time(8.0, 10).since(&machine), None, "they can't be compared");
    }

    #[test]
    fn what_the_system_does_not_say_is_left_out() {
        let made = Made::new(&[("proc/stat", "cpu\n"), ("proc/meminfo", "MemTotal: ? kB\n")]);
        let host = HostCollector::of(made.system(), &made.0.path().join("gone"));
        assert_eq!(host.cpu_percent(), None);
        assert_eq!(host.system.memory_percent(), None);
        assert_eq!(host.system.resident_bytes(), None);
        assert_eq!(host.disk_percent(), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_says_all_of_it() {
        let host = HostCollector::new(Path::new("."));
        assert!(host.system.memory_percent().is_some_and(|share| share > 0.0));
        assert!(host.system.resident_bytes().is_some_and(|bytes| bytes > 1e6));
        assert!(host.disk_percent().is_some());
    }
}

//! What the server's processes took while the run went on.

use std::time::Instant;

use serde::Serialize;

use super::process::{Process, own_cpu_seconds};

/// What one process of the server took; what the system did not tell is `null`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Taken {
    pub(super) pid: u32,
    /// In the measured time.
    pub(super) cpu_seconds: Option<f64>,
    pub(super) memory_bytes_before: Option<u64>,
    pub(super) memory_bytes_connected: Option<u64>,
    pub(super) memory_bytes_peak: Option<u64>,
    pub(super) memory_bytes_after: Option<u64>,
    /// Seconds since all were connected, and bytes.
    pub(super) memory_samples: Vec<(f64, u64)>,
}

/// Watches the server's processes, and this one.
#[derive(Debug)]
pub(super) struct Watch {
    processes: Vec<(Process, Taken)>,
    connected: Option<Instant>,
    cpu_before: Vec<Option<f64>>,
    own_cpu_before: Option<f64>,
    /// CPU time of this process in the measured time.
    pub(super) own_cpu_seconds: Option<f64>,
}

impl Watch {
    /// Looks before anybody connects.
    ///
    /// # Errors
    /// There is no such process, or no way to look at one.
    pub(super) fn begin(pids: &[u32]) -> anyhow::Result<Self> {
        let opened = pids.iter().map(|pid| {
            let process = Process::open(*pid)?;
            let memory_bytes_before = process.memory_bytes();
            Ok((process, Taken { pid: *pid, memory_bytes_before, ..Taken::default() }))
        });
        let processes = opened.collect::<anyhow::Result<_>>()?;
        let (cpu_before, own_cpu_before) = (Vec::new(), None);
        Ok(Self { processes, connected: None, cpu_before, own_cpu_before, own_cpu_seconds: None })
    }

    /// All are connected.
    pub(super) fn connected(&mut self) {
        self.connected = Some(Instant::now());
        self.sample();
        for (_, taken) in &mut self.processes {
            taken.memory_bytes_connected = taken.memory_samples.first().map(|(_, bytes)| *bytes);
        }
    }

    /// Looks how much memory there is now; between what this keeps lies a second.
    pub(super) fn sample(&mut self) {
        let seconds = self.connected.map(|connected| connected.elapsed().as_secs_f64());
        for (process, taken) in &mut self.processes {
            let Some(bytes) = process.memory_bytes() else { continue };
            taken.memory_bytes_peak = taken.memory_bytes_peak.max(Some(bytes));
            if let Some(seconds) = seconds {
                taken.memory_samples.push(((seconds * 1e3).round() / 1e3, bytes));
            }
        }
    }

    /// The measured time begins.
    pub(super) fn measure(&mut self) {
        self.cpu_before = self.processes.iter().map(|(process, _)| process.cpu_seconds()).collect();
        self.own_cpu_before = own_cpu_seconds();
    }

    /// The measured time is over.
    pub(super) fn measured(&mut self) {
        let between = |before: Option<f64>, after: Option<f64>| Some(after? - before?);
        for ((process, taken), before) in self.processes.iter_mut().zip(&self.cpu_before) {
            taken.cpu_seconds = between(*before, process.cpu_seconds());
        }
        self.own_cpu_seconds = between(self.own_cpu_before, own_cpu_seconds());
    }

    /// All is over; the connections are still open.
    pub(super) fn end(mut self) -> Vec<Taken> {
        for (process, taken) in &mut self.processes {
            taken.memory_bytes_after = process.memory_bytes();
            taken.memory_bytes_peak = taken.memory_bytes_peak.max(taken.memory_bytes_after);
        }
        self.processes.into_iter().map(|(_, taken)| taken).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_watched_from_before_to_after() {
        let mut watch = Watch::begin(&[std::process::id()]).unwrap();
        watch.sample();
        watch.connected();
        watch.measure();
        watch.sample();
        watch.measured();
        assert!(watch.own_cpu_seconds.is_some_and(|seconds| seconds >= 0.0));
        let [taken] = &watch.end()[..] else { panic!("one process") };
        assert_eq!(taken.memory_samples.len(), 2, "what came before is no sample: {taken:?}");
        assert!(taken.memory_bytes_peak >= taken.memory_bytes_connected, "{taken:?}");
        assert!(taken.memory_bytes_before.is_some() && taken.memory_bytes_after.is_some());
        assert!(taken.cpu_seconds.is_some_and(|seconds| seconds >= 0.0));
        assert!(Watch::begin(&[u32::MAX]).is_err());
    }
}

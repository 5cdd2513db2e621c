//! What processes use, as Linux counts it.

use std::fs;

use crate::clock::now;

/// Processors, memory and sockets at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    at: u64,
    /// Nanoseconds of processor of the server and all its children.
    server: u64,
    /// The same of this process.
    own: u64,
    /// Resident memory of the server, in KiB.
    pub(crate) rss_kib: u64,
    /// What the kernel holds for all TCP sockets of the machine, in KiB.
    pub(crate) tcp_kib: u64,
}

impl Usage {
    /// Of the server that these processes are.
    pub(crate) fn of(roots: &[u32]) -> Self {
        let all = family(roots);
        Self {
            at: now(),
            server: all.iter().map(|pid| nanoseconds(*pid)).sum(),
            own: nanoseconds(std::process::id()),
            rss_kib: all.iter().map(|pid| field(&format!("/proc/{pid}/status"), "VmRSS:")).sum(),
            tcp_kib: 4 * field("/proc/net/sockstat", " mem"),
        }
    }

    /// Seconds since.
    pub(crate) fn seconds(self, before: Self) -> f64 {
        (self.at - before.at) as f64 / 1e9
    }

    /// Seconds of the server's processors since.
    pub(crate) fn server(self, before: Self) -> f64 {
        self.server.saturating_sub(before.server) as f64 / 1e9
    }

    /// The part of one processor that the generator has used since.
    pub(crate) fn own_share(self, before: Self) -> f64 {
        (self.own - before.own) as f64 / 1e9 / self.seconds(before)
    }
}

/// These and their children's children.
fn family(roots: &[u32]) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parents: Vec<(u32, u32)> = pids.filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut all = roots.to_vec();
    let mut at = 0;
    while let Some(pid) = all.get(at).copied() {
        all.extend(parents.iter().filter(|(_, parent)| *parent == pid).map(|(child, _)| *child));
        at += 1;
    }
    all
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split_whitespace().nth(1)?.parse().ok()
}

fn nanoseconds(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of_task = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        stat.split_whitespace().next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0)
    };
    tasks.map(of_task).sum()
}

/// The first number behind a name; 0 if there is none.
fn field(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let number = |rest: &str| rest.split_whitespace().next()?.parse::<u64>().ok();
    text.split_once(name).and_then(|(_, rest)| number(rest)).unwrap_or(0)
}

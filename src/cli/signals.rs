//! The signals that `exec` passes on.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use rustix::process::{Pid, getpgrp};
use rustix::termios::tcgetpgrp;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that are passed on, by number.
const PASSED: [i32; 6] =
    [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2];

/// Catches the signals that are passed on, from its making to its end.
#[derive(Debug)]
pub struct Signals {
    streams: Vec<(i32, Signal)>,
}

impl Signals {
    /// Begins to catch. A signal that this process was told to ignore (`nohup`) stays ignored, and so in the child.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> io::Result<Self> {
        let ignored =
            std::fs::read_to_string("/proc/self/status").map(|status| ignored(&status)).unwrap_or_default();
        let caught = PASSED.into_iter().filter(|number| !bit(ignored, *number));
        let streams = caught.map(|number| Ok((number, signal(SignalKind::from_raw(number))?)));
        Ok(Self { streams: streams.collect::<io::Result<_>>()? })
    }

    /// The next signal's number.
    pub async fn next(&mut self) -> i32 {
        poll_fn(|context| {
            for (number, stream) in &mut self.streams {
                if stream.poll_recv(context).is_ready() {
                    return Poll::Ready(*number);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Whether the terminal has given `number` to the child too: it sends to the whole foreground group. A
/// second copy would be a second Ctrl-C, which many programs take as "now, without cleaning up".
pub fn child_has_it(number: i32) -> bool {
    [libc::SIGINT, libc::SIGQUIT].contains(&number) && in_foreground()
}

fn in_foreground() -> bool {
    let terminal = std::fs::File::open("/dev/tty");
    terminal.is_ok_and(|terminal| tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp()))
}

/// Sends signal `number` to the child. One that has just ended needs it no more.
pub fn send(child: Option<u32>, number: i32) {
    let pid = child.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let (Some(pid), Some(signal)) = (pid, rustix::process::Signal::from_named_raw(number)) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// The mask of ignored signals in `/proc/PID/status`.
fn ignored(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

fn bit(mask: u64, number: i32) -> bool {
    u32::try_from(number - 1).is_ok_and(|shift| mask.checked_shr(shift).is_some_and(|rest| rest & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read_by_number() {
        let mask = ignored("Name:\tx\nSigIgn:\t0000000000000001\nSigCgt:\tff\n");
        assert!(bit(mask, libc::SIGHUP));
        assert!(!bit(mask, libc::SIGINT));
        assert!(!bit(ignored("no such line"), libc::SIGHUP));
    }
}

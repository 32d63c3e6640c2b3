//! Promise P3 by brute force: the process that connected and one that was handed the connection write at
//! once, and at no moment is the connection attested after a byte of the second was read.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use crate::agent::{helper, send};
use crate::{Host, read};

/// How many trials, and the variable that changes it.
const TRIALS: (&str, u64) = ("HOTWORK_RACE_TRIALS", 10_000);

#[tokio::test]
async fn no_byte_of_a_stranger_is_ever_attested_as_the_agents() {
    let trials = std::env::var(TRIALS.0).map_or(TRIALS.1, |text| text.parse().unwrap());
    let host = Host::new();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut stranger = helper(&std::env::current_exe().unwrap(), "agent::writer_process", &host.socket())
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .unwrap();
    // How many of the agent's bytes the stranger's came after, at most three.
    let mut tally = [0_u64; 4];
    for trial in 0..trials {
        let before = one_trial(&host, &ours, trial).await;
        tally[before.min(3)] += 1;
    }
    drop(ours);
    assert!(stranger.wait().unwrap().success());
    eprintln!("{trials} trials; the stranger wrote after 0, 1, 2, more bytes: {tally:?}");
    // A race that one side always wins shows nothing.
    assert!(trials < 1_000 || tally.iter().filter(|count| **count > 0).count() > 1, "{tally:?}");
}

/// We are the agent: connect, hand the connection to the stranger, and write until its byte has come, and
/// once more. A third of the trials leaves the first word to it, a third takes it, the rest is open.
/// Answers how many bytes were ours before.
async fn one_trial(host: &Host, stranger: &UnixStream, trial: u64) -> usize {
    let mut agent = UnixStream::connect(host.socket()).unwrap();
    let mut connection = host.listener.accept().await.unwrap();
    let (mut ours, mut stranger_wrote) = (0, false);
    if trial % 3 != 1 {
        send(stranger.as_fd(), b"x", agent.as_fd());
    }
    for round in 0_u64.. {
        let last = stranger_wrote;
        if last || !trial.is_multiple_of(3) {
            agent.write_all(b"P").unwrap();
        }
        if round == 0 && trial % 3 == 1 {
            send(stranger.as_fd(), b"x", agent.as_fd());
        }
        let bytes = read(&mut connection).await;
        stranger_wrote |= bytes.contains(&b'C');
        let attested = host.attest(&connection).await.is_ok();
        assert_eq!(attested, !stranger_wrote, "trial {trial}: attested {attested} after {bytes:?}");
        if last {
            return ours;
        }
        ours += bytes.iter().filter(|byte| **byte == b'P').count();
    }
    ours
}

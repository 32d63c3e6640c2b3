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

/// Bytes that the agent writes in one trial, one at a time.
const WRITES: u64 = 7;

/// In how many trials the stranger's byte came before, between and after those of the agent.
#[derive(Debug, Default)]
struct Tally {
    first: u64,
    between: u64,
    last: u64,
}

#[tokio::test]
async fn no_byte_of_a_stranger_is_ever_attested_as_the_agents() {
    let trials = std::env::var(TRIALS.0).map_or(TRIALS.1, |text| text.parse().unwrap());
    let host = Host::new();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut stranger = helper(&std::env::current_exe().unwrap(), "agent::writer_process", &host.socket())
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .unwrap();
    let mut tally = Tally::default();
    for trial in 0..trials {
        one_trial(&host, &ours, trial, &mut tally).await;
    }
    drop(ours);
    assert!(stranger.wait().unwrap().success());
    eprintln!("{trials} trials, the stranger's byte: {tally:?}");
    // A race that one side always wins shows nothing.
    assert!(trials < 1_000 || (tally.between > 0 && tally.last + tally.first > 0), "{tally:?}");
}

/// We are the agent: connect, hand the connection to the stranger, and write at the same time as it does.
async fn one_trial(host: &Host, stranger: &UnixStream, trial: u64, tally: &mut Tally) {
    let mut agent = UnixStream::connect(host.socket()).unwrap();
    let mut connection = host.listener.accept().await.unwrap();
    // The hand-over moves through the writes, so that each order of the bytes comes up.
    for at in 0..WRITES {
        if at == trial % WRITES {
            send(stranger.as_fd(), b"x", agent.as_fd());
        }
        agent.write_all(b"P").unwrap();
        std::thread::yield_now();
    }
    let expected = usize::try_from(WRITES).unwrap() + 1;
    let mut bytes = Vec::new();
    while bytes.len() < expected {
        bytes.extend(read(&mut connection).await);
        let stranger_wrote = bytes.contains(&b'C');
        let attested = host.attest(&connection).await.is_ok();
        assert_eq!(attested, !stranger_wrote, "trial {trial}: attested {attested} after {bytes:?}");
    }
    match bytes.iter().position(|byte| *byte == b'C').unwrap() {
        0 => tally.first += 1,
        at if at + 1 == expected => tally.last += 1,
        _ => tally.between += 1,
    }
}

//! Attacks on the TCP listeners of the real daemon: it lives, a good client keeps 99 of 100 calls, it stays
//! within 128 MiB, and the memory comes back. Each attack is made on verifiers', operators' and agents' listener, one after
//! the other; some on the public one. `HOTWORK_ATTACK_SECONDS` (1 by default) makes each last longer.
//!
//! The attacker comes from 127.0.0.2, the good client from 127.0.0.1. Attacks on HTTP/2 have a certificate,
//! because without one nobody gets that far.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    dead_code,
    missing_docs,
    reason = "tests"
)]

mod arena;
mod cgroup;
mod door;
mod frames;
#[path = "../network/pki.rs"]
mod pki;
mod public;
#[path = "../end_to_end/support.rs"]
mod support;
mod wire;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use arena::{Arena, Target};
use door::{CERTIFIED, Door};
use frames::Raw;
use wire::{ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS};
use wire::{call, frame, whole};

/// Where the attacker sits.
const ATTACKER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

/// A bare connection from the attacker.
async fn dial(target: &Target) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind(SocketAddr::new(ATTACKER, 0)).ok()?;
    let stream =
        tokio::time::timeout(Duration::from_secs(2), socket.connect(target.address)).await.ok()?.ok()?;
    target.hit();
    Some(stream)
}

#[test]
fn a_flood_of_streams_that_never_end() {
    Arena::new(&CERTIFIED).attack(32, |target| async move {
        let Some(mut raw) = Raw::open(&target).await else { return };
        for stream in (1..4001).step_by(2) {
            let headers = call(target.path);
            if raw.send(&frame(HEADERS, END_HEADERS, stream, &headers)).await.is_err() {
                return;
            }
        }
        raw.drain(Duration::from_millis(200)).await;
    });
}

#[test]
fn rapid_reset() {
    Arena::new(&CERTIFIED).attack(16, |target| async move {
        let Some(mut raw) = Raw::open(&target).await else { return };
        for stream in (1..20_001).step_by(2) {
            let mut both = frame(HEADERS, END_HEADERS | END_STREAM, stream, &call(target.path));
            both.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            if raw.send(&both).await.is_err() {
                return;
            }
        }
    });
}

#[test]
fn continuation_without_end() {
    Arena::new(&CERTIFIED).attack(16, |target| async move {
        let Some(mut raw) = Raw::open(&target).await else { return };
        if raw.send(&frame(HEADERS, 0, 1, &call(target.path))).await.is_err() {
            return;
        }
        // A literal header of one letter, some thousand times in each frame.
        let more: Vec<u8> = [0, 1, b'a', 1, b'b'].repeat(3000);
        for _ in 0..2000 {
            if raw.send(&frame(CONTINUATION, 0, 1, &more)).await.is_err() {
                return;
            }
        }
    });
}

#[test]
fn handshakes_that_never_end() {
    Arena::new(&CERTIFIED).attack(300, |target| async move {
        let Some(mut stream) = dial(&target).await else { return };
        // The beginning of a ClientHello record of 512 bytes, and then a drip.
        if stream.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc]).await.is_err() {
            return;
        }
        for _ in 0..40 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if stream.write_all(&[0]).await.is_err() {
                return;
            }
        }
    });
}

#[test]
fn connections_that_say_nothing() {
    Arena::new(&CERTIFIED).attack(300, |target| async move {
        let Some(mut stream) = dial(&target).await else { return };
        let mut byte = [0];
        let _closed = tokio::time::timeout(Duration::from_secs(2), stream.read(&mut byte)).await;
    });
}

#[test]
fn descriptors_run_out() {
    // The public listener has an accept loop of its own.
    for doors in [&CERTIFIED[..], &[Door::Public]] {
        let arena = Arena::new(doors);
        arena.leave_descriptors(24);
        let log = arena.attack(200, |target| async move {
            let Some(mut stream) = dial(&target).await else { return };
            let mut byte = [0];
            let _closed = tokio::time::timeout(Duration::from_millis(500), stream.read(&mut byte)).await;
        });
        assert!(log.contains("can't accept connections, trying again"), "there were enough: {log}");
    }
}

#[test]
fn messages_beyond_every_bound() {
    Arena::new(&CERTIFIED).attack(32, |target| async move {
        let Some(mut raw) = Raw::open(&target).await else { return };
        let chunk = vec![0xaa; 16_384];
        for stream in (1..200).step_by(2) {
            let mut sent = raw.send(&frame(HEADERS, END_HEADERS, stream, &call(target.path))).await;
            // gRPC says first how long the message is: four gigabytes.
            let begin = [&[0, 0xff, 0xff, 0xff, 0xff], &*chunk].concat();
            for part in [&begin[..16_000], &chunk, &chunk, &chunk] {
                sent = sent.and(raw.send(&frame(DATA, 0, stream, part)).await);
            }
            if sent.is_err() {
                return;
            }
        }
        raw.drain(Duration::from_millis(200)).await;
    });
}

#[test]
fn headers_beyond_every_bound() {
    Arena::new(&CERTIFIED).attack(32, |target| async move {
        let Some(mut raw) = Raw::open(&target).await else { return };
        for stream in (1..2001).step_by(2) {
            let mut headers = call(target.path);
            // One header of 16,000 letters.
            headers.extend([0, 1, b'a', 0x7f, 0x81, 0x7c]);
            headers.extend(vec![b'b'; 16_000]);
            headers.truncate(16_384);
            if raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &headers)).await.is_err() {
                return;
            }
        }
    });
}

#[test]
fn pings_and_settings_whose_answers_nobody_reads() {
    Arena::new(&CERTIFIED).attack(8, |target| async move {
        let Some(mut raw) = Raw::open(&target).await else { return };
        let mut burst = Vec::new();
        for _ in 0..500 {
            burst.extend(frame(PING, 0, 0, &[7; 8]));
            burst.extend(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]));
            burst.extend(frame(PING, ACK, 0, &[9; 8]));
        }
        for _ in 0..400 {
            if raw.send(&burst).await.is_err() {
                return;
            }
        }
    });
}

#[test]
fn answers_that_nobody_takes() {
    let arena = Arena::new(&CERTIFIED);
    arena.make_lists_look();
    arena.attack(64, |target| async move {
        let Some(mut raw) = Raw::open(&target).await else { return };
        // No answer has room: a window of nought (RFC 9113 section 6.9.2).
        if raw.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await.is_err() {
            return;
        }
        for stream in (1..201).step_by(2) {
            if raw.send(&whole(target.path, stream)).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    });
}

#[test]
fn calls_that_are_begun_and_dropped() {
    let arena = Arena::new(&CERTIFIED);
    arena.make_lists_look();
    arena.attack(32, |target| async move {
        let Some(mut raw) = Raw::open(&target).await else { return };
        // A hundred whole calls, a moment in which they are begun, and nobody who waits for an answer.
        for first in (1..10_001).step_by(200) {
            let streams = (first..first + 200).step_by(2);
            let begun: Vec<u8> = streams.clone().flat_map(|stream| whole(target.path, stream)).collect();
            if raw.send(&begun).await.is_err() {
                return;
            }
            raw.drain(Duration::from_millis(20)).await;
            let dropped: Vec<u8> =
                streams.flat_map(|stream| frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())).collect();
            if raw.send(&dropped).await.is_err() {
                return;
            }
        }
    });
}

//! The public listener, which takes HTTP/1 from anybody.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::arena::{Arena, Target};
use crate::dial;
use crate::door::Door;

/// Sends `begin`, and then `drip` a hundred times, slowly.
async fn dripped(target: Target, begin: &[u8], drip: &[u8]) {
    let Some(mut stream) = dial(&target).await else { return };
    if stream.write_all(begin).await.is_err() {
        return;
    }
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if stream.write_all(drip).await.is_err() {
            return;
        }
    }
}

#[test]
fn headers_and_bodies_that_never_end() {
    Arena::new(&[Door::Public]).attack(200, |target| async move {
        let body = b"POST /oauth2/revoke HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000000\r\n\r\ntoken=";
        let header = b"GET /jwks.json HTTP/1.1\r\nHost: a\r\nX-Long: ";
        tokio::join!(dripped(target.clone(), header, b"a"), dripped(target, body, &[b'a'; 512]));
    });
}

#[test]
fn headers_beyond_every_bound_and_no_http_at_all() {
    Arena::new(&[Door::Public]).attack(64, |target| async move {
        for begin in
            [&b"GET / HTTP/1.1\r\nHost: a\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[0x16, 3, 1]]
        {
            let Some(mut stream) = dial(&target).await else { return };
            let _sent = stream.write_all(begin).await;
            for _ in 0..1000 {
                if stream
                    .write_all(&b"X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(20))
                    .await
                    .is_err()
                {
                    break;
                }
            }
        }
    });
}

#[test]
fn documents_that_nobody_takes_and_callers_who_say_nothing() {
    Arena::new(&[Door::Public]).attack(200, |target| async move {
        let Some(mut stream) = dial(&target).await else { return };
        // A thousand requests on one connection, and no answer is read.
        let many = b"GET /jwks.json HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
        let _stuck = tokio::time::timeout(Duration::from_millis(500), stream.write_all(&many)).await;
        let Some(mut silent) = dial(&target).await else { return };
        let _closed = tokio::time::timeout(Duration::from_millis(500), silent.read(&mut [0])).await;
    });
}

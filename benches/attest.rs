//! What attestation costs: each request of a connection, and a connection's first.

use std::future::Future;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use criterion::{Criterion, criterion_group, criterion_main};
use hotwork::attest::unix::{Listener, UnixAttestor};
use hotwork::attest::{Attestor, Outcome, Presented};

/// Polls once: an attestation with kept evidence never waits.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn attest(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (Ok(runtime), Ok(directory)) = (runtime, tempfile::tempdir()) else { return };
    let path = directory.path().join("socket");
    let _within = runtime.enter();
    let Ok(listener) = Listener::bind(&path, 0o600) else { return };
    let attestor = UnixAttestor::new();
    let connect = || {
        let agent = UnixStream::connect(&path);
        let connection = runtime.block_on(listener.accept());
        (
            agent,
            connection.map(|connection| Presented { unix: Some(connection.peer()), ..Presented::default() }),
        )
    };

    criterion.bench_function("attest/first_request_of_a_connection", |bencher| {
        bencher.iter(|| {
            let (_agent, presented) = connect();
            presented.map(|presented| runtime.block_on(attestor.attest(&presented)).is_ok())
        });
    });

    let (_agent, Ok(presented)) = connect() else { return };
    let first = runtime.block_on(attestor.attest(&presented));
    assert!(matches!(first, Ok(Outcome::Evidence(_))), "the bench attests itself");
    criterion.bench_function("attest/request", |bencher| {
        bencher.iter(|| at_once(attestor.attest(&presented)).is_some_and(|answer| answer.is_ok()));
    });
    criterion.bench_function("attest/credentials_of_the_admin_socket", |bencher| {
        bencher.iter(|| presented.unix.as_ref().is_some_and(|peer| peer.credentials().is_ok()));
    });
}

criterion_group!(benches, attest);
criterion_main!(benches);

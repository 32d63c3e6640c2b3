//! The listener's file: made with the wanted permissions, taken over only from the dead, removed at the end.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use hotwork::attest::unix::{BindError, Listener};

#[tokio::test]
async fn a_socket_is_taken_over_only_when_nobody_listens() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");

    let alive = UnixListener::bind(&path).unwrap();
    assert!(matches!(Listener::bind(&path, 0o600), Err(BindError::InUse(_))));
    drop(alive);
    assert!(path.exists());
    let ours = Listener::bind(&path, 0o640).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(matches!(Listener::bind(&path, 0o600), Err(BindError::InUse(_))));
    drop(ours);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, b"precious").unwrap();
    assert!(matches!(Listener::bind(&path, 0o600), Err(BindError::NotASocket(_))));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    let long = directory.path().join("x".repeat(200));
    assert!(matches!(Listener::bind(&long, 0o600), Err(BindError::System { .. })));
}

#[tokio::test]
async fn the_socket_of_a_successor_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let first = Listener::bind(&path, 0o600).unwrap();
    std::fs::remove_file(&path).unwrap();
    let _second = Listener::bind(&path, 0o600).unwrap();
    drop(first);
    assert!(path.exists());
}

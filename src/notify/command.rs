//! A program that is told: the JSON on its standard input, no shell, an empty environment, a process group of
//! its own that is killed when its time is over.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use super::destination::Undelivered;

/// What a program finds on its path.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// An absolute path.
    pub path: PathBuf,
    /// What it is started with.
    pub arguments: Vec<String>,
}

/// Kills the group when dropped, unless the program has ended: a delivery that is given up leaves nothing behind.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0.take() {
            // It may have ended just now; then there is nothing to kill.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Runs `program` with `input`, for `limit` at most.
///
/// # Errors
/// When it can't be started, fails, or takes too long.
pub(super) async fn run(program: &Program, input: &[u8], limit: Duration) -> Result<(), Undelivered> {
    let mut child = start(program)?;
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let mut group = Group(pid);
    let stdin = child.stdin.take();
    let talk = async {
        if let Some(mut stdin) = stdin {
            // A program need not read all of it.
            let _ = stdin.write_all(input).await;
        }
        child.wait().await
    };
    match tokio::time::timeout(limit, talk).await {
        Ok(Ok(status)) if status.success() => {
            group.0 = None;
            Ok(())
        }
        Ok(Ok(status)) => {
            group.0 = None;
            Err(Undelivered::Failed(format!("the program ended with {status}")))
        }
        Ok(Err(error)) => Err(Undelivered::Failed(format!("the program can't be waited for: {error}"))),
        Err(_) => Err(Undelivered::Failed(format!("the program took longer than {} s", limit.as_secs()))),
    }
}

fn start(program: &Program) -> Result<Child, Undelivered> {
    let started = Command::new(&program.path)
        .args(&program.arguments)
        .env_clear()
        .env("PATH", PATH)
        .current_dir(Path::new("/"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    started.map_err(|error| {
        Undelivered::Failed(format!("`{}` can't be started: {error}", program.path.display()))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn script(text: &str) -> (tempfile::TempDir, Program) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        let arguments = vec![dir.path().display().to_string(), "$(touch pwned); a b".to_owned()];
        (dir, Program { path, arguments })
    }

    #[tokio::test]
    async fn a_program_gets_the_json_and_no_shell_reads_its_arguments() {
        let (dir, program) = script("cat > \"$1/input\"; echo \"$#:$2:${HOME-none}\" > \"$1/seen\"");
        run(&program, b"{\"a\":1}", Duration::from_secs(8)).await.unwrap();
        assert_eq!(std::fs::read(dir.path().join("input")).unwrap(), b"{\"a\":1}");
        let seen = std::fs::read_to_string(dir.path().join("seen")).unwrap();
        assert_eq!(seen, "2:$(touch pwned); a b:none\n");
    }

    #[tokio::test]
    async fn a_program_that_fails_or_is_not_there_has_not_told() {
        let (_dir, program) = script("exit 3");
        assert!(matches!(run(&program, b"x", Duration::from_secs(8)).await, Err(Undelivered::Failed(_))));
        let none = Program { path: "/nonexistent/program".into(), arguments: Vec::new() };
        assert!(matches!(run(&none, b"x", Duration::from_secs(8)).await, Err(Undelivered::Failed(_))));
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_killed_with_its_children() {
        let (dir, program) =
            script("sleep 1000 & echo $! > \"$1/child.new\"; mv \"$1/child.new\" \"$1/child\"; wait");
        let ran = run(&program, b"x", Duration::from_secs(2)).await;
        assert!(matches!(ran, Err(Undelivered::Failed(text)) if text.contains("longer than 2 s")));
        let child = std::fs::read_to_string(dir.path().join("child")).unwrap();
        let stat = format!("/proc/{}/stat", child.trim());
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        // A zombie that nobody reaped yet is dead too.
        let alive = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
        while alive() {
            assert!(std::time::Instant::now() < deadline, "the child lives on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

//! A process of its own to attest: this test binary run again, obeying one command a line on its standard
//! input and answering on its standard error.

use std::io::{BufRead, BufReader, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

const SOCKET: &str = "HOTWORK_TEST_SOCKET";

/// What a shell does in the agent's place after `exec`: the same commands, the connection as its output.
const SHELL: &str = r#"
echo ok >&2
while read -r verb text; do
    case "$verb" in
        write) printf %s "$text" ;;
        quit) exit 0 ;;
    esac
    echo ok >&2
done"#;

/// The command that runs one helper of this binary, or of a copy of it.
pub fn helper(executable: &Path, name: &str, socket: &Path) -> Command {
    let mut command = Command::new(executable);
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(SOCKET, socket);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Where this process shall connect or listen; `None` when it is not a helper but the test run itself.
pub fn socket() -> Option<std::ffi::OsString> {
    std::env::var_os(SOCKET)
}

/// The tests' end of a helper. It is killed when dropped.
pub struct Agent {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStderr>,
}

impl Agent {
    /// This binary as an agent that will connect to `socket`.
    pub fn start(socket: &Path) -> Self {
        Self::spawn(&mut helper(&std::env::current_exe().unwrap(), "agent::agent_process", socket))
    }

    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let commands = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stderr.take().unwrap());
        Self { child, commands, answers }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Has it do something, and waits until it is done.
    pub fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
        assert_eq!(self.answer(), "ok", "answer to `{command}`");
    }

    pub fn answer(&mut self) -> String {
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }

    /// Ends it and waits until it is reaped, so that its pid is free.
    pub fn quit(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Not a test: the agent's own loop, when this binary was started as one.
#[test]
fn agent_process() {
    let Some(path) = socket() else { return };
    let mut stream = UnixStream::connect(&path).unwrap();
    let mut pipe: Option<OwnedFd> = None;
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (verb, text) = line.split_once(' ').unwrap_or((&line, ""));
        match verb {
            "connect" => stream = UnixStream::connect(&path).unwrap(),
            "write" => stream.write_all(text.as_bytes()).unwrap(),
            "write-from-thread" => std::thread::scope(|scope| {
                scope.spawn(|| (&stream).write_all(text.as_bytes()).unwrap());
            }),
            "child-writes" => {
                let output = Stdio::from(OwnedFd::from(stream.try_clone().unwrap()));
                let child = Command::new("/bin/sh").args(["-c", "printf child"]).stdout(output).status();
                assert!(child.unwrap().success());
            }
            "pass-to" => send(UnixStream::connect(text).unwrap().as_fd(), b"x", stream.as_fd()),
            "send-descriptor" => {
                let (read, write) = rustix::pipe::pipe().unwrap();
                send(stream.as_fd(), text.as_bytes(), write.as_fd());
                pipe = Some(read);
            }
            // Ends only when every copy of the writing end is closed, the receiver's too.
            "await-closed" => {
                let read = std::fs::File::from(pipe.take().unwrap()).read(&mut [0; 1]).unwrap();
                assert_eq!(read, 0);
            }
            "exec-shell" => {
                let output = Stdio::from(OwnedFd::from(stream));
                let error = Command::new("/bin/sh").args(["-c", SHELL]).stdout(output).exec();
                panic!("{error}");
            }
            other => panic!("unknown command {other}"),
        }
        eprintln!("ok");
    }
}

/// Not a test: writes one byte into every descriptor that is passed to its standard input.
#[test]
fn writer_process() {
    if socket().is_none() {
        return;
    }
    let input = std::io::stdin();
    while let Some(descriptor) = receive(input.as_fd()) {
        UnixStream::from(descriptor).write_all(b"C").unwrap();
    }
}

/// Sends `bytes` and a descriptor.
pub fn send(over: BorrowedFd<'_>, bytes: &[u8], descriptor: BorrowedFd<'_>) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
    rustix::net::sendmsg(over, &[IoSlice::new(bytes)], &mut control, SendFlags::empty()).unwrap();
}

/// Receives a descriptor; `None` at the end of the stream.
pub fn receive(from: BorrowedFd<'_>) -> Option<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let parts = &mut [std::io::IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(from, parts, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    control.drain().find_map(|message| {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message { descriptors.next() } else { None }
    })
}

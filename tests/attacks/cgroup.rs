//! A memory cgroup around a daemon, of version 2 or 1. What the kernel does not hold to is not called a limit: hierarchies
//! are told from plain folders by their file system, files are never made, and what was written is read back.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// `f_type` of version 2 and of version 1 (`statfs(2)`).
const V2_MAGIC: i64 = 0x6367_7270;
const V1_MAGIC: i64 = 0x0027_e0eb;

/// How the two versions call it.
struct Names {
    limit: &'static str,
    /// Memory and swap together, or swap alone, where the kernel counts it.
    swap: (&'static str, bool),
    /// Buffers of sockets, which version 1 counts apart.
    sockets: Option<(&'static str, &'static str)>,
    peak: &'static str,
    events: &'static str,
}

const V2: Names = Names {
    limit: "memory.max",
    swap: ("memory.swap.max", false),
    sockets: None,
    peak: "memory.peak",
    events: "memory.events",
};
const V1: Names = Names {
    limit: "memory.limit_in_bytes",
    swap: ("memory.memsw.limit_in_bytes", true),
    sockets: Some(("memory.kmem.tcp.limit_in_bytes", "memory.kmem.tcp.max_usage_in_bytes")),
    peak: "memory.max_usage_in_bytes",
    events: "memory.oom_control",
};

/// A group with a limit, below the group that the test is in. It is removed when it is dropped; whoever is in it must have
/// ended by then.
pub struct Cgroup {
    dir: PathBuf,
    /// As `/proc/PID/cgroup` calls it.
    name: String,
    names: &'static Names,
}

impl Cgroup {
    /// A group of `bytes`, or why there is none.
    ///
    /// # Errors
    /// With what was wrong with each hierarchy.
    pub fn new(bytes: u64) -> Result<Self, String> {
        let mounts = std::fs::read_to_string("/proc/self/mounts").map_err(|error| error.to_string())?;
        let mut why = Vec::new();
        for line in mounts.lines() {
            let mut words = line.split(' ').skip(1);
            let (Some(at), Some(kind), Some(options)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            let names = match kind {
                "cgroup2" => &V2,
                "cgroup" if options.split(',').any(|option| option == "memory") => &V1,
                _ => continue,
            };
            match Self::below(Path::new(at), names, bytes) {
                Ok(group) => return Ok(group),
                Err(error) => why.push(format!("{at}: {error}")),
            }
        }
        if why.is_empty() { Err("no cgroup hierarchy is mounted".into()) } else { Err(why.join("; ")) }
    }

    fn below(mount: &Path, names: &'static Names, bytes: u64) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let magic = if names.limit == V2.limit { V2_MAGIC } else { V1_MAGIC };
        let found = rustix::fs::statfs(mount).map_err(|error| error.to_string())?.f_type;
        if found != magic {
            return Err(format!("not this file system: {found:#x}"));
        }
        let own = membership("self", names).ok_or("this process has no group here")?;
        // Version 2 gives no controller to what is below a group with processes in it, so there it is the group beside.
        let parent =
            if names.limit == V2.limit { own.rsplit_once('/').map_or("", |split| split.0) } else { &own };
        let parent = parent.trim_end_matches('/');
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{parent}/hotwork-attacks-{}-{count}", std::process::id());
        let dir = mount.join(name.trim_start_matches('/'));
        std::fs::create_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        // From here on it is removed again.
        let group = Self { dir, name, names };
        group.write(names.limit, bytes).map_err(|error| format!("{}: {error}", names.limit))?;
        let limit = group.number(names.limit);
        if limit != Some(bytes) {
            return Err(format!("{} reads {limit:?}", names.limit));
        }
        let (swap, together) = names.swap;
        // Not every kernel counts swap, and not every machine has any.
        let _uncounted = group.write(swap, if together { bytes } else { 0 });
        if let Some((sockets, _)) = names.sockets {
            group.write(sockets, bytes).map_err(|error| format!("{sockets}: {error}"))?;
        }
        Ok(group)
    }

    /// A file of the hierarchy. It is never made: on another file system it is not there.
    fn write(&self, file: &str, value: u64) -> io::Result<()> {
        let mut file: File = OpenOptions::new().write(true).open(self.dir.join(file))?;
        file.write_all(value.to_string().as_bytes())
    }

    fn number(&self, file: &str) -> Option<u64> {
        std::fs::read_to_string(self.dir.join(file)).ok()?.trim().parse().ok()
    }

    /// A command line in front of another: it becomes the other inside of the group, so that all of its memory counts.
    pub fn launcher(&self) -> [String; 4] {
        let procs = self.dir.join("cgroup.procs").display().to_string();
        let script = r#"[ -f "$0" ] && echo $$ > "$0" && exec "$@""#;
        ["sh".into(), "-c".into(), script.into(), procs]
    }

    /// Whether the kernel has the process in the group, with this limit.
    pub fn holds(&self, pid: u32, bytes: u64) -> bool {
        membership(&pid.to_string(), self.names).as_deref() == Some(&self.name)
            && self.number(self.names.limit) == Some(bytes)
    }

    /// How many processes the kernel killed for their memory.
    pub fn kills(&self) -> u64 {
        let events = std::fs::read_to_string(self.dir.join(self.names.events)).unwrap();
        let line = events.lines().find_map(|line| line.strip_prefix("oom_kill ")).unwrap();
        line.parse().unwrap()
    }

    /// The most that was ever in it, in KiB, and of that what was apart: buffers of sockets.
    pub fn peak(&self) -> (u64, u64) {
        let sockets = self.names.sockets.and_then(|(_, peak)| self.number(peak)).unwrap_or_default();
        // Version 2 has its peak from Linux 5.19 on.
        (self.number(self.names.peak).unwrap_or_default() / 1024, sockets / 1024)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A process that was killed leaves its group a moment later.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.dir).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        eprintln!("!! {} is left over", self.dir.display());
    }
}

/// The group of a process as `/proc/PID/cgroup` calls it.
fn membership(pid: &str, names: &Names) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let mine = |line: &&str| {
        let controllers = line.split(':').nth(1).unwrap_or_default();
        if names.limit == V2.limit {
            controllers.is_empty()
        } else {
            controllers.split(',').any(|c| c == "memory")
        }
    };
    let line = text.lines().find(mine)?;
    line.splitn(3, ':').nth(2).map(str::to_owned)
}

#[test]
fn what_is_called_a_limit_kills_who_takes_more() {
    const LIMIT: u64 = 64 * 1024 * 1024;
    let group = match Cgroup::new(LIMIT) {
        Ok(group) => group,
        Err(why) => return eprintln!("!! SKIPPED, no memory cgroup can be made here: {why}"),
    };
    let run = |bytes: u64| {
        // `tail` keeps all of it before it writes any.
        let script = format!("head -c {bytes} /dev/zero | tail -c {bytes} | wc -c");
        let [program, arguments @ ..] = group.launcher();
        let output = Command::new(program).args(arguments).args(["sh", "-c", &script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse::<u64>().unwrap()
    };
    assert_eq!((run(LIMIT / 4), group.kills()), (LIMIT / 4, 0));
    assert_ne!(run(2 * LIMIT), 2 * LIMIT, "it was let have twice the limit");
    assert!(group.kills() > 0);
    let mut inside = {
        let [program, arguments @ ..] = group.launcher();
        Command::new(program).args(arguments).args(["sleep", "60"]).spawn().unwrap()
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !group.holds(inside.id(), LIMIT) {
        assert!(std::time::Instant::now() < deadline, "it is not in its group");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(!group.holds(std::process::id(), LIMIT) && !group.holds(inside.id(), LIMIT + 1));
    inside.kill().unwrap();
    inside.wait().unwrap();
}

#[test]
fn a_plain_folder_is_no_hierarchy() {
    let dir = tempfile::tempdir().unwrap();
    for names in [&V1, &V2] {
        assert!(Cgroup::below(dir.path(), names, 1 << 20).is_err());
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was made in it");
}

//! Reads `/proc/PID/cgroup`: the path, and the container and systemd unit that it names. Pure.
//!
//! Only the part of a path that the system's own managers write is believed. Below a service or scope the
//! tree may be delegated, and a user can make directories of any name there, so the topmost one counts.

/// Longest `/proc/PID/cgroup` in bytes: a path of `PATH_MAX` and a dozen version 1 hierarchies.
pub const CGROUP_BYTES_MAX: usize = 8 * 1024;

/// Where a process is in the control group tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement<'a> {
    /// The path, from the root of the hierarchy.
    pub path: &'a str,
    /// The container's id, 64 hex digits.
    pub container: Option<&'a str>,
    /// The unit of the system's service manager.
    pub unit: Option<&'a str>,
    /// The unit of the user's own service manager, which is only as good as the user.
    pub user_unit: Option<&'a str>,
}

/// Reads the file: the version 2 path, or that of the version 1 hierarchy `name=systemd` where version 2
/// is absent or unused. `None` when there is neither, or when the path is not plain: one that leaves our
/// cgroup namespace (`..`) names nothing that we know.
pub fn parse(text: &[u8]) -> Option<Placement<'_>> {
    let path = path(std::str::from_utf8(text).ok()?)?;
    let segments: Vec<&str> = path.split('/').skip(1).filter(|segment| !segment.is_empty()).collect();
    let plain = path.starts_with('/') && !path.contains("//") && !segments.contains(&"..");
    if !plain || path.chars().any(char::is_control) {
        return None;
    }
    let slices = segments.iter().take_while(|segment| segment.ends_with(".slice")).count();
    let rest = segments.get(slices..).unwrap_or_default();
    let unit = rest.first().copied().filter(|name| is_unit(name));
    Some(Placement {
        path,
        container: if slices == 0 { unsliced_container(rest) } else { None }.or_else(|| container(rest)),
        unit,
        user_unit: unit.and_then(|unit| user_unit(unit, rest)),
    })
}

/// The line that counts. A directory's name can't contain a line feed, so lines can't be forged.
fn path(text: &str) -> Option<&str> {
    let of = |wanted: fn(&str, &str) -> bool| {
        text.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            wanted(id, controllers).then_some(path)
        })
    };
    let unified = of(|id, controllers| id == "0" && controllers.is_empty());
    let systemd = of(|_, controllers| controllers == "name=systemd");
    match (unified, systemd) {
        (Some("/"), Some(systemd)) => Some(systemd),
        (unified, systemd) => unified.or(systemd),
    }
}

fn is_unit(name: &str) -> bool {
    [".service", ".scope"].iter().any(|kind| name.strip_suffix(kind).is_some_and(|stem| !stem.is_empty()))
}

/// `user@1000.service/app.slice/agent.service`: the first unit below the user's manager.
fn user_unit<'a>(unit: &str, rest: &[&'a str]) -> Option<&'a str> {
    let manager = unit.starts_with("user@") && unit.ends_with(".service");
    let below = rest.iter().skip(1).find(|segment| !segment.ends_with(".slice"));
    below.copied().filter(|name| manager && is_unit(name))
}

/// A container's id as runtimes write it.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}

/// `docker-ID.scope` and its like: what runtimes on systemd make below the slices; and the joined form
/// `SLICE:cri-containerd:ID` of a containerd that was told of slices but not of systemd.
fn container<'a>(rest: &[&'a str]) -> Option<&'a str> {
    const RUNTIMES: [&str; 6] = ["containerd", "cri-containerd", "crio", "docker", "libpod", "nerdctl"];
    match rest {
        ["containerd.service" | "crio.service" | "k3s.service", joined, ..] | [joined, ..]
            if joined.contains(':') =>
        {
            let mut fields = joined.split(':');
            let (slice, runtime, id) = (fields.next()?, fields.next()?, fields.next()?);
            let known = slice.ends_with(".slice") && RUNTIMES.contains(&runtime);
            (known && is_id(id) && fields.next().is_none()).then_some(id)
        }
        [scope, ..] => {
            let (runtime, id) = scope.strip_suffix(".scope")?.rsplit_once('-')?;
            (RUNTIMES.contains(&runtime) && is_id(id)).then_some(id)
        }
        [] => None,
    }
}

/// What runtimes without systemd make from the root: `/docker/ID`, `/kubepods/burstable/podUID/ID`.
fn unsliced_container<'a>(segments: &[&'a str]) -> Option<&'a str> {
    let id = match segments {
        ["default" | "docker" | "k8s.io" | "moby" | "podman", id, ..] => id,
        ["libpod_parent", id, ..] => id.strip_prefix("libpod-")?,
        ["kubepods", "besteffort" | "burstable", pod, id, ..] | ["kubepods", pod, id, ..]
            if pod.starts_with("pod") =>
        {
            id.strip_prefix("crio-").unwrap_or(id)
        }
        _ => return None,
    };
    is_id(id).then_some(id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const POD: &str = "pod3f1b2c4d-0000-1111-2222-333344445555";

    fn at(path: &str) -> String {
        format!("0::{}\n", path.replace("ID", ID).replace("POD", POD))
    }

    #[test]
    fn the_path_is_of_version_2_or_of_the_systemd_hierarchy() {
        let table: [(&str, Option<&str>); 9] = [
            ("0::/system.slice/a.service\n", Some("/system.slice/a.service")),
            ("4:memory:/m\n1:name=systemd:/s\n0::/\n", Some("/s")),
            ("4:memory:/m\n1:name=systemd:/s\n0::/u\n", Some("/u")),
            ("1:name=systemd:/s:with:colons\n", Some("/s:with:colons")),
            ("0::/\n", Some("/")),
            ("4:memory:/m\n", None),
            ("0::/../other\n", None),
            ("0::relative\n", None),
            ("", None),
        ];
        for (text, path) in table {
            assert_eq!(parse(text.as_bytes()).map(|placement| placement.path), path, "{text}");
        }
        assert_eq!(parse(b"0::/\xff\n"), None);
        assert_eq!(parse("0::/a\tb\n".as_bytes()), None);
    }

    #[test]
    fn containers_are_known_by_the_shapes_of_their_runtimes() {
        let known = [
            "/docker/ID",
            "/docker/ID/system.slice/inner.service",
            "/system.slice/docker-ID.scope",
            "/machine.slice/libpod-ID.scope/container",
            "/libpod_parent/libpod-ID",
            "/default/ID",
            "/system.slice/nerdctl-ID.scope",
            "/kubepods/POD/ID",
            "/kubepods/burstable/POD/ID",
            "/kubepods/besteffort/POD/crio-ID",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-POD.slice/cri-containerd-ID.scope",
            "/kubepods.slice/kubepods-POD.slice/crio-ID.scope/container",
            "/system.slice/containerd.service/kubepods-burstable-POD.slice:cri-containerd:ID",
            "/kubepods-burstable-POD.slice:cri-containerd:ID",
        ];
        for path in known {
            let text = at(path);
            assert_eq!(parse(text.as_bytes()).unwrap().container, Some(ID), "{path}");
        }
    }

    #[test]
    fn a_container_can_not_be_claimed_where_users_name_directories() {
        let claims = [
            "/user.slice/user-1000.slice/user@1000.service/docker-ID.scope",
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container",
            "/system.slice/builder.service/docker-ID.scope",
            "/system.slice/builder.service/docker/ID",
            "/system.slice/builder.service/a.slice:cri-containerd:ID",
            "/machine.slice/libpod-conmon-ID.scope",
            "/docker/0123",
            "/docker/IDa",
            "/kubepods/burstable/nopod/ID",
            "/docker",
            "/",
        ];
        for path in claims {
            let text = at(path);
            assert_eq!(parse(text.as_bytes()).unwrap().container, None, "{path}");
        }
        let shouted = format!("0::/docker/{}\n", ID.to_uppercase());
        assert_eq!(parse(shouted.as_bytes()).unwrap().container, None);
    }

    #[test]
    fn the_unit_is_the_topmost_and_a_user_unit_is_another_kind() {
        let table: [(&str, Option<&str>, Option<&str>); 10] = [
            ("/system.slice/agent.service", Some("agent.service"), None),
            ("/system.slice/system-agent.slice/agent@1.service", Some("agent@1.service"), None),
            ("/system.slice/builder.service/agent.service", Some("builder.service"), None),
            ("/init.scope", Some("init.scope"), None),
            ("/user.slice/user-1000.slice/session-3.scope", Some("session-3.scope"), None),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/agent.service",
                Some("user@1000.service"),
                Some("agent.service"),
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/init.scope",
                Some("user@1000.service"),
                Some("init.scope"),
            ),
            ("/docker/ID/system.slice/agent.service", None, None),
            ("/system.slice/.service", None, None),
            ("/system.slice", None, None),
        ];
        for (path, unit, user_unit) in table {
            let text = at(path);
            let placement = parse(text.as_bytes()).unwrap();
            assert_eq!((placement.unit, placement.user_unit), (unit, user_unit), "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "([0-9]{1,2}:[a-z=]{0,12}:(/[a-z@.:-]{0,20}){0,6}\n){0,4}") {
            if let Some(placement) = parse(text.as_bytes()) {
                prop_assert!(placement.path.starts_with('/'));
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            parse(&bytes);
        }
    }
}

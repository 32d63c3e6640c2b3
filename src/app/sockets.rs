//! The daemon's Unix sockets, and what is done when one of them can't be had.
//!
//! On an ordinary day each is needed. In an emergency one that is left is enough: somebody gets in.

use std::path::Path;

use crate::attest::unix::Listener;
use crate::broker::Broker;
use crate::config::Config;

use super::{Failure, emergency};

/// The socket for responders.
const BREAK_GLASS: &str = "break-glass.sock";

const NEXT: &str = "the directory of a socket has to be there and writable by the daemon; systemd makes `/run/hotwork`, \
                    and by hand `install -d -m 0755 DIRECTORY` does";

/// The sockets, bound; those that are not configured, or could not be had in an emergency, are not there.
pub(super) struct Sockets {
    pub(super) agent: Option<Listener>,
    pub(super) admin: Option<Listener>,
    pub(super) authz: Option<Listener>,
    pub(super) break_glass: Option<Listener>,
}

/// Binds them.
///
/// # Errors
/// When one can't be bound; in an emergency, when none of those for people and agents can be.
pub(super) fn bind(config: &Config, broker: &Broker) -> Result<Sockets, Failure> {
    let try_one = |path: &Path, mode| match one(path, mode) {
        Ok(bound) => Ok(Some(bound)),
        Err(failure) => emergency::tolerate(broker, Err(failure)).map(|()| None),
    };
    let authz = config.authz_socket.as_ref();
    let sockets = Sockets {
        agent: try_one(&config.agent_socket.path, config.agent_socket.mode)?,
        admin: try_one(&config.admin_socket.path, config.admin_socket.mode)?,
        authz: authz.map_or(Ok(None), |own| try_one(&own.path, own.mode))?,
        break_glass: match break_glass(config) {
            Ok(bound) => Some(bound),
            Err(failure) => emergency::tolerate(broker, Err(failure)).map(|()| None)?,
        },
    };
    let someone = [&sockets.agent, &sockets.admin, &sockets.break_glass].into_iter().any(Option::is_some);
    if someone {
        Ok(sockets)
    } else {
        Err(Failure::new("no socket can be made: nobody could call").next(NEXT))
    }
}

fn one(path: &Path, mode: u32) -> Result<Listener, Failure> {
    Listener::bind(path, mode).map_err(|error| Failure::caused("socket", &error).next(NEXT))
}

/// Beside the admin socket and open to the same people: whoever may try the one may try the other. When it can't be
/// there, in the state directory, which is there whatever the configuration says, and which root alone can enter.
fn break_glass(config: &Config) -> Result<Listener, Failure> {
    let mode = config.admin_socket.mode;
    let beside = config.admin_socket.path.with_file_name(BREAK_GLASS);
    let bound = one(&beside, mode).or_else(|failure| {
        let own = config.state_dir.join(BREAK_GLASS);
        tracing::warn!(problem = failure.message, path = %own.display(), "break-glass moves to another socket");
        one(&own, mode).or(Err(failure))
    })?;
    tracing::info!(path = %bound.path().display(), "responders can call here");
    Ok(bound)
}

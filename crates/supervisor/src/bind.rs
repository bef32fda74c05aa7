//! Listeners: bound here, once, and kept for as long as the configuration names them, so that a
//! process that is restarted finds its connections waiting.
//!
//! # Failure
//! A port in use is an error that names it. A socket file left by a dead process is replaced, one
//! that answers is not.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, getsockname, listen, socket_with,
    sockopt,
};

use config::ListenAddress;

/// Ports below this are root's on a system that is set up as usual.
const PORT_FREE_MIN: u16 = 1024;

/// How many connections wait until they are accepted; the kernel may allow fewer.
const BACKLOG: i32 = 1024;

/// Why there is no such listener.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {}: {cause}{}",
    shown(address),
    advice(address, cause)
)]
pub struct BindError {
    address: ListenAddress,
    cause: io::Error,
}

/// A bound, listening socket.
#[derive(Debug)]
pub(super) struct Bound {
    /// As the configuration says.
    pub(super) address: ListenAddress,
    /// As it came to be: the kernel chooses where the configuration says port 0.
    pub(super) actual: ListenAddress,
    /// The socket; non-blocking.
    pub(super) socket: OwnedFd,
}

/// Who may connect to a socket file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenFor {
    /// Every program on this machine.
    Everyone,
    /// The user that the supervisor runs as, and root.
    Owner,
}

impl Bound {
    /// Binds.
    ///
    /// # Errors
    /// When the address is in use or not ours to bind.
    pub(super) fn new(address: &ListenAddress, open_for: OpenFor) -> Result<Self, BindError> {
        let bound = match address {
            ListenAddress::Tcp(address) => bind_tcp(*address),
            ListenAddress::Unix(path) => bind_unix(path, open_for),
        };
        let (socket, actual) = bound.map_err(|cause| BindError {
            address: address.clone(),
            cause,
        })?;
        Ok(Self {
            address: address.clone(),
            actual,
            socket,
        })
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // Children that still accept keep the socket; nobody new is to find it.
        if let ListenAddress::Unix(path) = &self.address {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// What to look at, as the rest of the error.
fn advice(address: &ListenAddress, cause: &io::Error) -> &'static str {
    match (address, cause.kind()) {
        (ListenAddress::Tcp(_), io::ErrorKind::AddrInUse) => {
            "; another program has this port, and `ss -ltnp` shows which"
        }
        (ListenAddress::Tcp(_), io::ErrorKind::AddrNotAvailable) => {
            "; this machine has no such address, see `ip address`"
        }
        (ListenAddress::Tcp(address), io::ErrorKind::PermissionDenied)
            if address.port() < PORT_FREE_MIN =>
        {
            "; ports below 1024 are for root, or for who has CAP_NET_BIND_SERVICE"
        }
        (ListenAddress::Unix(_), io::ErrorKind::NotFound) => "; its folder has to be there",
        _ => "",
    }
}

/// As the configuration writes it.
pub(super) fn shown(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Tcp(address) => address.to_string(),
        ListenAddress::Unix(path) => format!("unix:{}", path.display()),
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<(OwnedFd, ListenAddress)> {
    let socket = new_socket(match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    })?;
    // Connections of an earlier run that linger must not keep the port; two systems can still not
    // share it, since SO_REUSEPORT is not set.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        // `[::]` takes IPv4 as well, whatever the system's default.
        sockopt::set_ipv6_v6only(&socket, !address.ip().is_unspecified())?;
    }
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    let actual = SocketAddr::try_from(getsockname(&socket)?)?;
    Ok((socket, ListenAddress::Tcp(actual)))
}

fn bind_unix(path: &Path, open_for: OpenFor) -> io::Result<(OwnedFd, ListenAddress)> {
    remove_stale(path)?;
    let socket = new_socket(AddressFamily::UNIX)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    // Nobody can connect before it listens, so the mode is right from the first connection on.
    let mode = match open_for {
        OpenFor::Everyone => 0o666,
        OpenFor::Owner => 0o600,
    };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    listen(socket.as_fd(), BACKLOG)?;
    Ok((socket, ListenAddress::Unix(path.into())))
}

fn new_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(family, SocketType::STREAM, flags, None)?)
}

/// Removes a socket file that nobody listens on any more.
fn remove_stale(path: &Path) -> io::Result<()> {
    let kind = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    if !kind.is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "a file that is no socket",
        ));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another program answers there",
        )),
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests;

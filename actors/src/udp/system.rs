//! Sockets of the system that move datagrams: opening them, and their options.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket as SystemSocket, Type};
use switchboard_core::{Address, Destination};
use tokio::net::lookup_host;

use crate::error::ListenPhase;
use crate::options::{BindUdp, DatagramOptions, DatagramPlace};
use crate::transport::ChannelKind;
use crate::transport::datagram::{DatagramSocket, InetSocket};

use super::opening::Opened;
use super::resolve;

/// Opens what is asked for, and says whom it is connected to.
pub(super) async fn open(bind: &BindUdp) -> Result<Opened, (ListenPhase, io::Error)> {
    let failed = |phase| move |error| (phase, error);
    let bound = failed(ListenPhase::Bind);
    let (link, kind, v6): (Box<dyn DatagramSocket>, _, _) = match &bind.place {
        DatagramPlace::Inet(local) => {
            let addresses = lookup_host(local)
                .await
                .map_err(failed(ListenPhase::Resolve))?;
            let none = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            let mut outcome = Err((ListenPhase::Resolve, none));
            for local in addresses {
                outcome = bind_inet(Some(local), &bind.options).map_err(bound);
                if outcome.is_ok() {
                    break;
                }
            }
            let (socket, v6) = outcome?;
            (Box::new(socket), ChannelKind::Udp, v6)
        }
        DatagramPlace::Unbound => {
            let (socket, v6) = bind_inet(None, &bind.options).map_err(bound)?;
            (Box::new(socket), ChannelKind::Udp, v6)
        }
        DatagramPlace::Adopted(socket) => {
            let (socket, v6) = adopt_inet(socket, &bind.options).map_err(bound)?;
            (Box::new(socket), ChannelKind::Udp, v6)
        }
        #[cfg(unix)]
        DatagramPlace::Unix(name) => {
            let socket = super::unix::bind(name, &bind.options).map_err(bound)?;
            (Box::new(socket), ChannelKind::UnixDatagram, false)
        }
        #[cfg(unix)]
        DatagramPlace::AdoptedUnix(socket) => {
            let socket = super::unix::adopt(socket, &bind.options).map_err(bound)?;
            (Box::new(socket), ChannelKind::UnixDatagram, false)
        }
        #[cfg(not(unix))]
        DatagramPlace::Unix(_) => {
            return Err((ListenPhase::Bind, io::ErrorKind::Unsupported.into()));
        }
    };
    let peer = match &bind.remote {
        None => None,
        Some(Destination::Address(address)) => Some(address.clone()),
        Some(Destination::Name(name)) => {
            let found = resolve::one(name, kind, v6).await;
            Some(found.map_err(failed(ListenPhase::Resolve))?)
        }
    };
    if let Some(peer) = &peer {
        link.connect(peer).map_err(failed(ListenPhase::Connect))?;
    }
    // One that was taken over may be connected already.
    let peer = peer.or_else(|| address_of(&link.socket()?.peer_addr().ok()?));
    Ok((link, peer))
}

/// Opens a UDP socket; `None`: without an address, of IPv4.
fn bind_inet(
    local: Option<SocketAddr>,
    options: &DatagramOptions,
) -> io::Result<(InetSocket, bool)> {
    let v6 = local.is_some_and(|local| local.is_ipv6());
    let domain = if v6 { Domain::IPV6 } else { Domain::IPV4 };
    let socket = SystemSocket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    let system = SockRef::from(&socket);
    let member = !options.join.is_empty();
    system.set_reuse_address(options.reuse_addr.unwrap_or(member))?;
    #[cfg(unix)]
    system.set_reuse_port(options.reuse_port)?;
    if let Some(only) = options.only_v6.filter(|_| v6) {
        system.set_only_v6(only)?;
    }
    apply(&system, options, v6)?;
    only_joined(&system, v6);
    if let Some(local) = local {
        socket.bind(&local.into())?;
    }
    join(&system, options)?;
    Ok((InetSocket::new(socket.into())?, v6))
}

/// Takes a UDP socket over, through a descriptor of our own.
fn adopt_inet(
    socket: &std::net::UdpSocket,
    options: &DatagramOptions,
) -> io::Result<(InetSocket, bool)> {
    let socket = socket.try_clone()?;
    let system = SockRef::from(&socket);
    if system.r#type()? != Type::DGRAM {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the descriptor is no datagram socket",
        ));
    }
    let v6 = system.local_addr()?.is_ipv6();
    apply(&system, options, v6)?;
    join(&system, options)?;
    Ok((InetSocket::new(socket)?, v6))
}

/// Sets what has to do with the address family and the buffers.
fn apply(socket: &SockRef<'_>, options: &DatagramOptions, v6: bool) -> io::Result<()> {
    buffers(socket, options)?;
    if options.broadcast {
        socket.set_broadcast(true)?;
    }
    if let Some(hops) = options.ttl {
        if v6 {
            socket.set_unicast_hops_v6(hops)?;
        } else {
            socket.set_ttl_v4(hops)?;
        }
    }
    if let Some(hops) = options.multicast_ttl {
        set_multicast_ttl(socket, hops, v6)?;
    }
    if let Some(back) = options.multicast_loop {
        set_multicast_loop(socket, back, v6)?;
    }
    if let Some(interface) = options.multicast_interface {
        interface.use_for(socket, v6)?;
    }
    Ok(())
}

pub(super) fn buffers(socket: &SockRef<'_>, options: &DatagramOptions) -> io::Result<()> {
    if let Some(bytes) = options.recv_buffer_size {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.send_buffer_size {
        socket.set_send_buffer_size(bytes)?;
    }
    Ok(())
}

/// Linux hands a socket what comes for any group that any socket of the machine has joined; we want those
/// of its own only (ip(7), IP_MULTICAST_ALL). A kernel that does not know the option stays as it is.
#[cfg(target_os = "linux")]
fn only_joined(socket: &SockRef<'_>, v6: bool) {
    let _ = if v6 {
        socket.set_multicast_all_v6(false)
    } else {
        socket.set_multicast_all_v4(false)
    };
}

#[cfg(not(target_os = "linux"))]
const fn only_joined(_: &SockRef<'_>, _: bool) {}

fn join(socket: &SockRef<'_>, options: &DatagramOptions) -> io::Result<()> {
    options.join.iter().try_for_each(|group| group.join(socket))
}

pub(super) fn set_multicast_ttl(socket: &SockRef<'_>, hops: u32, v6: bool) -> io::Result<()> {
    if v6 {
        socket.set_multicast_hops_v6(hops)
    } else {
        socket.set_multicast_ttl_v4(hops)
    }
}

pub(super) fn set_multicast_loop(socket: &SockRef<'_>, back: bool, v6: bool) -> io::Result<()> {
    if v6 {
        socket.set_multicast_loop_v6(back)
    } else {
        socket.set_multicast_loop_v4(back)
    }
}

/// An address in the system's form.
fn address_of(address: &SockAddr) -> Option<Address> {
    #[cfg(unix)]
    if address.is_unix() {
        let name = crate::transport::datagram::system_name(address);
        return Some(Address::Unix(name));
    }
    address.as_socket().map(Address::from)
}

/// The system's form of an address.
pub(super) fn address(address: &Address) -> io::Result<SockAddr> {
    match address {
        Address::Inet(address) => Ok((*address).into()),
        Address::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

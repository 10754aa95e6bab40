//! The first bytes on a link's socket, with the parts of a channel beside them (`SCM_RIGHTS`, unix(7)).

use super::{Channel, NoChannel, Parts};
use nix::errno::Errno;
use nix::sys::socket::{sendmsg, ControlMessage, MsgFlags, UnixAddr};
use std::io::IoSlice;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Sends bytes with the parts, at once or not at all; how many bytes were sent.
pub(in crate::io) fn send(socket: &OwnedFd, bytes: &[u8], parts: &Parts) -> Result<usize, Errno> {
    let parts = parts.each_ref().map(AsRawFd::as_raw_fd);
    sendmsg::<UnixAddr>(
        socket.as_raw_fd(),
        &[IoSlice::new(bytes)],
        &[ControlMessage::ScmRights(&parts)],
        MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
        None,
    )
}

/// What has arrived first on a link's socket.
pub(in crate::io) struct Arrived {
    /// 0: the peer has sent its last.
    pub bytes: usize,
    /// `None`: no parts were beside them.
    pub channel: Option<Result<Channel, NoChannel>>,
}

/// Receives bytes, and attaches the channel whose parts are beside them.
pub(in crate::io) fn receive(socket: &OwnedFd, into: &mut [u8]) -> Result<Arrived, Errno> {
    // Whole words: a control message's header is aligned as one.
    let mut control = [0_u64; CONTROL_BYTES.div_ceil(8)];
    let mut bytes = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    // SAFETY: all zeros is a message that points to nothing.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut bytes;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = CONTROL_BYTES;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the message points to `into` and to `control`, with their lengths.
    let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, flags) };
    let received = Errno::result(received)?;
    // SAFETY: the kernel has filled it in.
    let parts = unsafe { descriptors(&message) };
    let is_cut = message.msg_flags & libc::MSG_CTRUNC != 0;
    let channel = match <Parts>::try_from(parts) {
        Ok(parts) if !is_cut => Some(Channel::attach(parts)),
        Err(parts) if !is_cut && parts.is_empty() => None,
        _ => Some(Err(NoChannel::Unfit("not all of its parts have arrived"))),
    };
    Ok(Arrived {
        bytes: received as usize,
        channel,
    })
}

/// Room for the parts, and no more.
// SAFETY: it only counts.
const CONTROL_BYTES: usize = unsafe { libc::CMSG_SPACE(size_of::<[RawFd; 3]>() as u32) } as usize;

/// The descriptors that came with a message. (By hand: nix gives none where not all could be had, and those that could
/// would stay open.)
///
/// # Safety
/// The message was filled in by recvmsg(2), and nobody has taken its descriptors yet.
unsafe fn descriptors(message: &libc::msghdr) -> Vec<OwnedFd> {
    let mut found = Vec::new();
    // SAFETY: the caller's promise; the macros keep within what the kernel has filled in.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while let Some(control) = header.as_ref() {
            if (control.cmsg_level, control.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
                let data = libc::CMSG_DATA(header).cast::<RawFd>();
                let bytes = control.cmsg_len - libc::CMSG_LEN(0) as usize;
                let fds = (0..bytes / size_of::<RawFd>()).map(|at| data.add(at).read_unaligned());
                found.extend(fds.map(|fd| OwnedFd::from_raw_fd(fd)));
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    found
}

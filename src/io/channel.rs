//! Bytes between two cores, of one process or of two, without a system call: two rings in memory that both have, and a
//! doorbell for each end, which is rung only if that end said that it is about to wait.
//!
//! Between processes the memory is a memfd that can no longer change its size, so that no end can have the other killed
//! by SIGBUS (memfd_create(2)). Nothing in it is believed: indices are checked, bytes are copied out before they are
//! looked at. What a process that dies was in the middle of writing was not published, and is not read.
//!
//! A doorbell is an eventfd that nobody reads: it is watched for edges (epoll(7), `IORING_POLL_ADD_MULTI`), and each
//! write is one.

mod handover;
mod ring;

use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg, SealFlag};
use nix::sys::memfd::{memfd_create, MFdFlags};
use nix::sys::mman::{mmap, mmap_anonymous, munmap, MapFlags, ProtFlags};
use nix::sys::stat::fstat;
use nix::unistd::ftruncate;
use ring::{Indices, Reader, Word, Writer};
use std::fmt;
use std::mem::{align_of, size_of};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

pub(super) use handover::{receive, send};
pub(super) use ring::Senseless;

use super::threads::eventfd;
use crate::limits::{CHANNEL_BYTES, CHANNEL_RING_BYTES};

/// One end.
pub struct Channel {
    memory: Arc<Memory>,
    /// Which of the two rings is written here; the other one is read.
    writes: usize,
    writer: Writer,
    reader: Reader,
    ours: Arc<OwnedFd>,
    theirs: Arc<OwnedFd>,
    /// Bytes are wanted.
    pub(super) reading: bool,
    /// There was no room for what was to be written last.
    blocked: bool,
    /// The other end has to be woken.
    rings: bool,
}

/// What has to be handed over for the other end: the memory, then the doorbell of this end, then of the other.
pub(super) type Parts = [OwnedFd; 3];

/// Why there is no channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoChannel {
    System(&'static str, Errno),
    /// What was handed over is not what is expected.
    Unfit(&'static str),
    /// It was offered, and the other end did not take it.
    Declined,
}

/// What lies at the front of the memory; the rings' bytes follow. Native byte order: both ends are on this machine.
#[repr(C)]
struct Front {
    /// Says which layout this is.
    mark: AtomicU32,
    /// The process that it was handed to has mapped it.
    attached: AtomicU32,
    rings: [Indices<AtomicU32>; 2],
}

/// Changes with the layout.
const MARK: u32 = u32::from_le_bytes(*b"glc1");
const RING_BYTES: u32 = CHANNEL_RING_BYTES as u32;
const FRONT_BYTES: usize = CHANNEL_BYTES - 2 * CHANNEL_RING_BYTES;
const _: () = assert!(size_of::<Front>() <= FRONT_BYTES && align_of::<Front>() <= 4096);
const _: () = assert!(RING_BYTES.is_power_of_two());

impl Channel {
    /// Two ends for two cores of this process.
    pub fn pair() -> std::io::Result<(Channel, Channel)> {
        let memory = Arc::new(Memory::anonymous()?);
        memory.front().mark.store(MARK, Ordering::Relaxed);
        let (one, other) = (Arc::new(doorbell()?), Arc::new(doorbell()?));
        Ok((
            Channel::end(memory.clone(), 0, one.clone(), other.clone()),
            Channel::end(memory, 1, other, one),
        ))
    }

    /// One end, and what makes the other one in another process.
    pub(super) fn offer() -> Result<(Channel, Parts), NoChannel> {
        let file = memfd_create(
            c"galo link",
            MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING,
        );
        let file = file.map_err(|errno| NoChannel::System("memfd_create", errno))?;
        let made = || {
            ftruncate(&file, CHANNEL_BYTES as i64)?;
            fcntl(&file, FcntlArg::F_ADD_SEALS(seals()))?;
            let memory = Arc::new(Memory::of(&file)?);
            memory.front().mark.store(MARK, Ordering::Relaxed);
            let (ours, theirs) = (doorbell()?, doorbell()?);
            let clones = [
                ours.as_fd().try_clone_to_owned(),
                theirs.as_fd().try_clone_to_owned(),
            ];
            let [ours_too, theirs_too] = clones.map(|clone| clone.map_err(|_| Errno::last()));
            Ok((memory, [ours, theirs], [ours_too?, theirs_too?]))
        };
        let made = made().map_err(|errno| NoChannel::System("shared memory", errno));
        let (memory, [ours, theirs], [ours_too, theirs_too]) = made?;
        let end = Channel::end(memory, 0, Arc::new(ours), Arc::new(theirs));
        Ok((end, [file, ours_too, theirs_too]))
    }

    /// The other end, in the process that was handed the parts.
    fn attach([file, theirs, ours]: Parts) -> Result<Channel, NoChannel> {
        let system = |errno| NoChannel::System("shared memory", errno);
        // In this order: what cannot shrink any more has the size that it will have.
        let found = fcntl(&file, FcntlArg::F_GET_SEALS)
            .map_err(|_| NoChannel::Unfit("the memory is none that can be sealed"))?;
        if !SealFlag::from_bits_retain(found).contains(seals()) {
            return Err(NoChannel::Unfit("the memory is not sealed"));
        }
        if fstat(&file).map_err(system)?.st_size != CHANNEL_BYTES as i64 {
            return Err(NoChannel::Unfit("the memory has another size"));
        }
        let memory = Memory::of(&file).map_err(system)?;
        let front = memory.front();
        if front.mark.load(Ordering::Relaxed) != MARK {
            return Err(NoChannel::Unfit("the memory has another layout"));
        }
        front.attached.store(1, Ordering::Release);
        let [ours, theirs] = [ours, theirs].map(Arc::new);
        Ok(Channel::end(Arc::new(memory), 1, ours, theirs))
    }

    fn end(
        memory: Arc<Memory>,
        writes: usize,
        ours: Arc<OwnedFd>,
        theirs: Arc<OwnedFd>,
    ) -> Channel {
        Channel {
            memory,
            writes,
            writer: Writer::default(),
            reader: Reader::default(),
            reading: true,
            ours,
            theirs,
            blocked: false,
            rings: false,
        }
    }

    /// Whether the process that it was handed to has its end.
    pub(super) fn is_attached(&self) -> bool {
        self.memory.front().attached.load(Ordering::Acquire) == 1
    }

    /// Readable, by edges, when the other end has rung.
    pub(super) fn doorbell(&self) -> BorrowedFd<'_> {
        self.ours.as_fd()
    }

    /// Writes what there is room for; the number of bytes. The other end may have to be [rung for](Self::bell).
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<usize, Senseless> {
        let shared = &self.memory.front().rings[self.writes];
        let room = self.writer.room(shared, RING_BYTES)?;
        let count = bytes.len().min(room as usize);
        self.blocked = count == 0;
        if self.blocked {
            return Ok(0);
        }
        let bytes = &bytes[..count];
        self.memory.write(self.writes, self.writer.at(), bytes);
        self.rings |= self.writer.publish(shared, count as u32);
        Ok(count)
    }

    /// Reads what is there, as far as it fits; the number of bytes. The other end may have to be [rung for](Self::bell).
    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<usize, Senseless> {
        let reads = 1 - self.writes;
        let shared = &self.memory.front().rings[reads];
        let available = self.reader.available(shared, RING_BYTES)?;
        let count = into.len().min(available as usize);
        if count == 0 {
            return Ok(0);
        }
        self.memory
            .read(reads, self.reader.at(), &mut into[..count]);
        self.rings |= self.reader.publish(shared, count as u32);
        Ok(count)
    }

    /// The other end's doorbell, if that has waited for what was written or read since this was last asked.
    pub(super) fn bell(&mut self) -> Option<Arc<OwnedFd>> {
        std::mem::take(&mut self.rings).then(|| self.theirs.clone())
    }

    /// There was no room for what was to be written last, and there is now.
    pub(super) fn has_room_again(&self) -> bool {
        let shared = &self.memory.front().rings[self.writes];
        self.blocked && self.writer.room(shared, RING_BYTES) != Ok(0)
    }

    /// Whether there is anything to do here.
    pub(super) fn is_ready(&self) -> bool {
        let shared = &self.memory.front().rings[1 - self.writes];
        let is_readable = || self.reader.available(shared, RING_BYTES) != Ok(0);
        self.reading && is_readable() || self.has_room_again()
    }

    /// The core is about to wait, or does no longer. Before it does, there has to be a [`Channel::fence`], and another
    /// look whether this [is ready](Self::is_ready).
    pub(super) fn waits(&mut self, waits: bool) {
        let rings = &self.memory.front().rings;
        self.reader
            .waits(&rings[1 - self.writes], waits && self.reading);
        self.writer
            .waits(&rings[self.writes], waits && self.blocked);
    }

    /// See [`waits`](Self::waits); one for any number of channels.
    pub(super) fn fence() {
        AtomicU32::fence();
    }
}

impl fmt::Display for NoChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoChannel::System(what, errno) => write!(f, "{what}: {}", errno.desc()),
            NoChannel::Unfit(what) => f.write_str(what),
            NoChannel::Declined => f.write_str("the other node has not taken it"),
        }
    }
}

fn doorbell() -> Result<OwnedFd, Errno> {
    eventfd().map(OwnedFd::from)
}

fn seals() -> SealFlag {
    SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL
}

/// The mapped memory.
struct Memory(NonNull<u8>);

// SAFETY: it is reached by atomic words, and by copies of what these say belongs to one end.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    const LENGTH: NonZeroUsize = NonZeroUsize::new(CHANNEL_BYTES).expect("it is some bytes");
    const PROTECTION: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

    fn anonymous() -> Result<Memory, Errno> {
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing of ours.
        let mapped = unsafe {
            mmap_anonymous(
                None,
                Memory::LENGTH,
                Memory::PROTECTION,
                MapFlags::MAP_PRIVATE,
            )
        };
        Ok(Memory(mapped?.cast()))
    }

    /// `file` has [`CHANNEL_BYTES`].
    fn of(file: &OwnedFd) -> Result<Memory, Errno> {
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing of ours.
        let mapped = unsafe {
            mmap(
                None,
                Memory::LENGTH,
                Memory::PROTECTION,
                MapFlags::MAP_SHARED,
                file,
                0,
            )
        };
        Ok(Memory(mapped?.cast()))
    }

    fn front(&self) -> &Front {
        // SAFETY: it is mapped for as long as `self` is, page-aligned, long enough, and any bytes are a `Front`.
        unsafe { self.0.cast().as_ref() }
    }

    /// Where the bytes of a ring begin.
    fn ring(&self, ring: usize) -> NonNull<u8> {
        debug_assert!(ring < 2);
        // SAFETY: within the mapping.
        unsafe { self.0.add(FRONT_BYTES + ring * CHANNEL_RING_BYTES) }
    }

    /// Copies into a ring, round its end. The place is the writer's own, as the indices say.
    fn write(&self, ring: usize, at: u32, bytes: &[u8]) {
        debug_assert!(bytes.len() <= CHANNEL_RING_BYTES);
        let at = (at % RING_BYTES) as usize;
        let (first, rest) = bytes.split_at(bytes.len().min(CHANNEL_RING_BYTES - at));
        let ring = self.ring(ring);
        // SAFETY: both parts lie within the ring; what another process does there meanwhile changes bytes, and nothing
        // else.
        unsafe {
            ring.add(at)
                .copy_from_nonoverlapping(NonNull::from(first).cast(), first.len());
            ring.copy_from_nonoverlapping(NonNull::from(rest).cast(), rest.len());
        }
    }

    /// Copies out of a ring.
    fn read(&self, ring: usize, at: u32, into: &mut [u8]) {
        debug_assert!(into.len() <= CHANNEL_RING_BYTES);
        let at = (at % RING_BYTES) as usize;
        let (first, rest) = into.split_at_mut(into.len().min(CHANNEL_RING_BYTES - at));
        let ring = self.ring(ring);
        // SAFETY: as in `write`.
        unsafe {
            ring.add(at)
                .copy_to_nonoverlapping(NonNull::from(&mut *first).cast(), first.len());
            ring.copy_to_nonoverlapping(NonNull::from(&mut *rest).cast(), rest.len());
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nobody has it any more.
        let unmapped = unsafe { munmap(self.0.cast(), CHANNEL_BYTES) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}

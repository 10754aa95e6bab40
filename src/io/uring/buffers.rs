//! Receive buffers that are lent to the kernel through a ring of their own
//! (`io_uring_register_buf_ring(3)`).

use io_uring::types::BufRingEntry;
use nix::errno::Errno;
use nix::sys::mman::{mmap_anonymous, munmap, MapFlags, ProtFlags};
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

/// One mapping: the buffer ring (whole pages), then the buffers.
pub(super) struct ReceiveBuffers {
    mapping: NonNull<c_void>,
    mapping_bytes: NonZeroUsize,
    ring_bytes: usize,
    count: u16,
    buffer_bytes: usize,
    /// The ring's tail, as it will be published.
    tail: u16,
}

const PAGE_BYTES: usize = 4096;

impl ReceiveBuffers {
    /// All of them lent. `count` is a power of two.
    pub(super) fn new(count: u16, buffer_bytes: usize) -> Result<ReceiveBuffers, Errno> {
        assert!(count.is_power_of_two() && buffer_bytes > 0);
        let ring_bytes =
            (usize::from(count) * size_of::<BufRingEntry>()).next_multiple_of(PAGE_BYTES);
        let mapping_bytes = NonZeroUsize::new(ring_bytes + usize::from(count) * buffer_bytes)
            .expect("a ring has a page");
        // SAFETY: a new private mapping, at an address of the kernel's choice.
        let mapping = unsafe {
            mmap_anonymous(
                None,
                mapping_bytes,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_PRIVATE,
            )
        }?;
        let mut buffers = ReceiveBuffers {
            mapping,
            mapping_bytes,
            ring_bytes,
            count,
            buffer_bytes,
            tail: 0,
        };
        for buffer in 0..count {
            buffers.give_back(buffer);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// Where the kernel finds the ring.
    pub(super) fn ring_address(&self) -> u64 {
        self.mapping.as_ptr() as u64
    }

    /// Buffers of the ring.
    pub(super) fn count(&self) -> u16 {
        self.count
    }

    fn data(&self, buffer: u16) -> *mut u8 {
        assert!(buffer < self.count);
        let offset = self.ring_bytes + usize::from(buffer) * self.buffer_bytes;
        debug_assert!(offset + self.buffer_bytes <= self.mapping_bytes.get());
        // SAFETY: within the mapping, by the assertions.
        unsafe { self.mapping.as_ptr().cast::<u8>().add(offset) }
    }

    /// The first `length` bytes of a buffer that a completion has named and that was not given
    /// back since: until then the kernel leaves it alone.
    pub(super) fn get(&self, buffer: u16, length: usize) -> &[u8] {
        assert!(length <= self.buffer_bytes);
        // SAFETY: `length` bytes from there are within the mapping; they are initialised (the
        // mapping began as zeros), and not written while we hold the buffer, which we do until
        // `give_back`, which wants `&mut self`.
        unsafe { std::slice::from_raw_parts(self.data(buffer), length) }
    }

    /// Puts a buffer at the tail of the ring.
    pub(super) fn give_back(&mut self, buffer: u16) {
        let address = self.data(buffer) as u64;
        let position = usize::from(self.tail & (self.count - 1));
        let ring = self.mapping.as_ptr().cast::<BufRingEntry>();
        // SAFETY: `position` is below `count`, for which the mapping has room, and it is aligned to
        // a page. The kernel does not read this entry before `publish`. Only addr, len and bid are
        // written: the fourth field of entry 0 is the ring's tail.
        let entry = unsafe { &mut *ring.add(position) };
        entry.set_addr(address);
        entry.set_len(self.buffer_bytes as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel what was given back.
    pub(super) fn publish(&mut self) {
        let ring = self.mapping.as_ptr().cast::<BufRingEntry>();
        // SAFETY: the ring is mapped, its base is page-aligned, and the tail is a u16 that the
        // kernel only reads.
        let tail = unsafe { &*BufRingEntry::tail(ring).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for ReceiveBuffers {
    fn drop(&mut self) {
        // SAFETY: mapped in `new` with this length; the ring that used it is gone (see `Ring`).
        let _ = unsafe { munmap(self.mapping, self.mapping_bytes.get()) };
    }
}

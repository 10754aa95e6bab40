//! Memory mapped from a file, or in place of one.
//!
//! A snapshot is mapped privately and worked on in place: pages that nobody touched stay the page
//! cache's, and cost the process nothing. Snapshots are never changed after they got their name, only
//! removed, so the mapping cannot lose its file's bytes under the process.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::sys::mman::{madvise, mmap, mmap_anonymous, munmap, MapFlags, MmapAdvise, ProtFlags};

use crate::limits::{CHECK_CHUNK_BYTES, CHECK_PARALLEL_BYTES_MIN, CHECK_THREADS_MAX};

/// Bytes that are this process's own to change; page-aligned; never written back to a file.
#[derive(Debug)]
pub struct Mapping {
    pointer: NonNull<u8>,
    /// 0: nothing is mapped, `pointer` dangles.
    bytes: usize,
    /// Untouched pages can be dropped and come back from the file.
    of_file: bool,
}

/// A page, for the alignment that mapped memory has.
#[repr(align(4096))]
struct Page;

// SAFETY: a Mapping owns its memory exclusively, as a Vec does; nothing in it belongs to a thread.
unsafe impl Send for Mapping {}
// SAFETY: shared access is read-only (`Deref`); changes need `&mut`.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps a whole file `MAP_PRIVATE` (mmap(2)), and reads its first page. `file` must not shrink or
    /// change while the mapping lives.
    pub fn of_file(file: &File) -> io::Result<Mapping> {
        let bytes = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let Some(length) = NonZeroUsize::new(bytes) else {
            return Ok(Mapping::EMPTY);
        };
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing of ours.
        let pointer = unsafe {
            mmap(
                None,
                length,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE,
                file,
                0,
            )
        }?;
        let mapping = Mapping {
            pointer: pointer.cast(),
            bytes,
            of_file: true,
        };
        mapping.populate(0, bytes.min(4096))?;
        Ok(mapping)
    }

    /// Reads a whole file into memory that goes back to the system when this is dropped (a `Vec` of
    /// this size may stay in the allocator).
    pub fn read(file: &File) -> io::Result<Mapping> {
        let bytes = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let mut mapping = Mapping::zeroed(bytes)?;
        let mut filled = 0;
        while filled < bytes {
            match file.read_at(&mut mapping[filled..], filled as u64) {
                // It shrank meanwhile.
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if filled == bytes {
            return Ok(mapping);
        }
        Mapping::of_bytes(&mapping[..filled])
    }

    /// A copy of `bytes`; for test doubles of a disk.
    pub fn of_bytes(bytes: &[u8]) -> io::Result<Mapping> {
        let mut mapping = Mapping::zeroed(bytes.len())?;
        mapping.copy_from_slice(bytes);
        Ok(mapping)
    }

    const EMPTY: Mapping = Mapping {
        pointer: NonNull::<Page>::dangling().cast(),
        bytes: 0,
        of_file: false,
    };

    /// Zeros, all of them resident: what is filled at once anyway costs half when its pages do not come one by one.
    pub fn zeroed(bytes: usize) -> io::Result<Mapping> {
        let Some(length) = NonZeroUsize::new(bytes) else {
            return Ok(Mapping::EMPTY);
        };
        // SAFETY: as in `of_file`.
        let pointer = unsafe {
            mmap_anonymous(
                None,
                length,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE | MapFlags::MAP_POPULATE,
            )
        }?;
        Ok(Mapping {
            pointer: pointer.cast(),
            bytes,
            of_file: false,
        })
    }

    /// Gives up all but the first `bytes`.
    pub fn truncate(&mut self, bytes: usize) {
        assert!(bytes <= self.bytes);
        let kept = bytes.next_multiple_of(4096);
        if kept < self.bytes {
            // SAFETY: `kept` is within the mapping, and a page's multiple from its begin, which is a
            // page's; nobody can refer to it while `self` is borrowed exclusively, nor afterwards.
            let unmapped = unsafe { munmap(self.pointer.add(kept).cast(), self.bytes - kept) };
            debug_assert!(unmapped.is_ok());
        }
        self.bytes = bytes;
    }

    /// CRC-32C of everything from `start` on (a multiple of the page size). Reads it all once, on
    /// several threads when it is large, and leaves nothing resident that was not before. An error of
    /// the device is an error here (Linux 5.14; before, and later on, it is SIGBUS).
    ///
    /// Nothing in the mapping may have been changed yet: dropping a page drops its changes.
    pub fn crc32c(&mut self, start: usize) -> io::Result<u32> {
        debug_assert!(start.is_multiple_of(4096) && start <= self.bytes);
        let bytes = self.bytes - start;
        let threads = match std::thread::available_parallelism() {
            Ok(cores) if bytes >= CHECK_PARALLEL_BYTES_MIN => cores.get().min(CHECK_THREADS_MAX),
            _ => 1,
        };
        if threads == 1 {
            return self.crc32c_part(start, self.bytes);
        }
        let part = bytes.div_ceil(threads).next_multiple_of(CHECK_CHUNK_BYTES);
        let this = &*self;
        std::thread::scope(|scope| {
            let parts: Vec<_> = (start..this.bytes)
                .step_by(part)
                .map(|from| {
                    let to = (from + part).min(this.bytes);
                    let check = move || this.crc32c_part(from, to);
                    (
                        from,
                        to,
                        std::thread::Builder::new().spawn_scoped(scope, check),
                    )
                })
                .collect();
            parts.into_iter().try_fold(0, |crc, (from, to, part)| {
                let part = match part {
                    Ok(part) => part.join().expect("a checksum does not panic")?,
                    // No more threads are allowed: it takes longer.
                    Err(_) => this.crc32c_part(from, to)?,
                };
                Ok(crc32c::crc32c_combine(crc, part, to - from))
            })
        })
    }

    fn crc32c_part(&self, start: usize, end: usize) -> io::Result<u32> {
        let mut crc = 0;
        for from in (start..end).step_by(CHECK_CHUNK_BYTES) {
            let to = (from + CHECK_CHUNK_BYTES).min(end);
            self.populate(from, to)?;
            crc = crc32c::crc32c_append(crc, &self[from..to]);
            // A hint.
            let _ = self.advise(from, to, MmapAdvise::MADV_DONTNEED);
        }
        Ok(crc)
    }

    /// A part, read from the file. As with [`crc32c`](Self::crc32c), an error of the device is an error here.
    pub fn read_part(&self, from: usize, to: usize) -> io::Result<&[u8]> {
        self.populate(from / 4096 * 4096, to)?;
        Ok(&self[from..to])
    }

    /// Nothing of it need be resident any more: the kernel has put pages there around those that were read.
    /// Nothing in the mapping may have been changed: dropping a page drops its changes.
    pub fn give_back(&self) {
        // A hint.
        let _ = self.advise(0, self.bytes, MmapAdvise::MADV_DONTNEED);
    }

    /// Reads from the file what is not there yet.
    fn populate(&self, from: usize, to: usize) -> io::Result<()> {
        match self.advise(from, to, MmapAdvise::MADV_POPULATE_READ) {
            // Touching it would be SIGBUS.
            Err(Errno::EFAULT | Errno::EHWPOISON) => Err(Errno::EIO.into()),
            // Without it (Linux before 5.14) reading is only slower.
            _ => Ok(()),
        }
    }

    fn advise(&self, from: usize, to: usize, advice: MmapAdvise) -> nix::Result<()> {
        if !self.of_file {
            return Ok(());
        }
        debug_assert!(from < to && to <= self.bytes);
        // SAFETY: the range lies in this mapping. Dropped pages come back from the file with the
        // bytes that they had: nothing was changed in them yet (`crc32c` and `give_back` say so).
        unsafe { madvise(self.pointer.add(from).cast(), to - from, advice) }
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `bytes` bytes are mapped readable at `pointer` for as long as `self` lives; with 0
        // bytes, any aligned pointer that is not null will do.
        unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), self.bytes) }
    }
}

impl DerefMut for Mapping {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; mapped writable, and `&mut self` is the only way to it.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.as_ptr(), self.bytes) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.bytes > 0 {
            // SAFETY: exactly what was mapped, and nobody can refer to it any more.
            let unmapped = unsafe { munmap(self.pointer.cast(), self.bytes) };
            debug_assert!(unmapped.is_ok());
        }
    }
}

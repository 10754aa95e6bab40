//! Files that cannot be read to their end.

use std::fs::File;

use crate::limits::{CHECK_CHUNK_BYTES, CHECK_PARALLEL_BYTES_MIN};
use crate::shard::mapping::Mapping;

/// Pages behind the end of a file stand for those that a device cannot read: touching either is
/// SIGBUS, which would end every start, where an older snapshot would do.
#[test]
fn an_unreadable_page_is_an_error_and_no_sigbus() {
    for bytes in [2 * CHECK_CHUNK_BYTES, CHECK_PARALLEL_BYTES_MIN] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("snapshot");
        let file = File::create(&path).unwrap();
        file.set_len(bytes as u64).unwrap();
        let mut mapping = Mapping::of_file(&File::open(&path).unwrap()).unwrap();
        assert!(mapping.crc32c(4096).is_ok());
        file.set_len(bytes as u64 / 2).unwrap();
        let error = mapping.crc32c(4096).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EIO));
    }
}

//! Bodies as gzip streams (RFC 1952).

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Deflate, no name, no time, fast, system unknown.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff];

/// Compresses one body after the other. Its few hundred KiB of tables are there from the first use
/// on, so that a server nobody asks for gzip does not have them.
#[derive(Debug, Default)]
pub struct Gzip {
    deflate: Option<Compress>,
}

impl Gzip {
    /// Appends `body` to `out` as a gzip stream of its own.
    pub fn compress(&mut self, body: &[u8], out: &mut Vec<u8>) {
        let deflate = self
            .deflate
            .get_or_insert_with(|| Compress::new(Compression::fast(), false));
        deflate.reset();
        out.extend_from_slice(&HEADER);
        out.reserve(body.len() / 2 + 64);
        loop {
            let rest = &body[deflate.total_in() as usize..];
            let status = deflate
                .compress_vec(rest, out, FlushCompress::Finish)
                .expect("deflate fails only where it is used wrongly");
            match status {
                Status::StreamEnd => break,
                Status::Ok | Status::BufError => out.reserve(body.len() / 2 + 64),
            }
        }
        let mut crc = Crc::new();
        crc.update(body);
        out.extend_from_slice(&crc.sum().to_le_bytes());
        // Modulo 2^32, as the format has it.
        out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn decompressed(stream: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(stream);
        decoder.read_to_end(&mut body).unwrap();
        body
    }

    #[test]
    fn what_goes_in_comes_out_whatever_went_before() {
        let text = b"http_requests_total{endpoint=\"transacoes\",status=\"200\"} 1\n".repeat(100);
        // Does not compress: a multiplicative hash of the index.
        let noise: Vec<u8> = (0..100_000_u32)
            .map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        let mut gzip = Gzip::default();
        for body in [&text[..], b"", b"x", &noise[..], &text[..]] {
            let mut out = b"before".to_vec();
            gzip.compress(body, &mut out);
            assert_eq!(&out[..6], b"before");
            assert!(decompressed(&out[6..]) == body, "{} bytes", body.len());
        }
        let mut out = Vec::new();
        gzip.compress(&text, &mut out);
        assert!(out.len() < text.len() / 10, "{} bytes", out.len());
    }
}

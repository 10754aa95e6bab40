//! Where a payment processor is: the addresses that its name stands for, which may change while we run.

use std::net::SocketAddr;

/// See the module. Shared by all cores; asking the resolver (getaddrinfo(3)) blocks, so a thread of its
/// own does that.
#[derive(Debug)]
pub struct Upstream {
    host: String,
    port: u16,
}

impl Upstream {
    /// `host`: a name or an address, as in a URL.
    pub fn new(host: &str, port: u16) -> Upstream {
        Upstream {
            host: host.to_owned(),
            port,
        }
    }

    /// Where to connect; `None`: not known (yet). Does not block.
    pub fn address(&self) -> Option<SocketAddr> {
        let _ = (&self.host, self.port);
        unimplemented!()
    }

    /// Nobody answers there: the name is looked up again, soon. Does not block.
    pub fn failed(&self) {
        unimplemented!()
    }
}

//! How a promise becomes two tests.

/// Each promise, once per driver.
macro_rules! promises {
    ($($name:ident)*) => {
        mod uring {
            $(#[test] fn $name() {
                // Where io_uring is refused, the driver cannot be tested, and is not used.
                if let galo::io::Probe::Refused(cause) = galo::io::probe() {
                    return eprintln!("not tested: {cause}");
                }
                super::$name(galo::io::Driver::Uring);
            })*
        }
        mod epoll {
            $(#[test] fn $name() { super::$name(galo::io::Driver::Epoll); })*
        }
    };
}

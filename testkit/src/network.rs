//! Machines whose network can be cut: each is a network namespace, and the thread that asks for them goes into one of its own,
//! which forwards between them. Threads and processes that it starts are there with it, and reach all machines, whatever is cut
//! between these. Nothing of it has a name in the system; it is gone with whoever uses it. Needs root.

use std::fs::File;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use nix::sched::{setns, unshare, CloneFlags};
use nix::unistd::Uid;

use crate::programs::expect_programs;

/// Machines are meant by number, from 0 on.
pub struct Network {
    /// Where the thread was before.
    home: OwnedFd,
    machines: Vec<Machine>,
    /// It is of one thread.
    _thread: PhantomData<*const ()>,
}

/// A place for processes, with an address of its own.
#[derive(Clone)]
pub struct Machine {
    number: usize,
    namespace: Arc<OwnedFd>,
}

impl Network {
    /// Whether this process may have one.
    pub fn is_permitted() -> bool {
        Uid::effective().is_root()
    }

    /// So many machines, each of which reaches each; the thread is among them until this is dropped.
    #[track_caller]
    pub fn new(machines: usize) -> Network {
        expect_programs(&[("ip", "iproute2")]);
        let home = namespace().expect("/proc");
        unshare(CloneFlags::CLONE_NEWNET).unwrap_or_else(|error| {
            panic!("a network namespace: {error}: tests that cut networks need root")
        });
        let network = Network {
            home,
            machines: (0..machines).map(Machine::new).collect(),
            _thread: PhantomData,
        };
        let hub = Network::HUB;
        ip(
            None,
            &format!("link set lo up\naddress add {hub}/32 dev lo\n"),
        );
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("it forwards between machines");
        network.machines.iter().for_each(Machine::connect);
        network
    }

    /// The thread's own address.
    pub const HUB: &str = "10.0.0.1";

    pub fn machine(&self, number: usize) -> &Machine {
        &self.machines[number]
    }

    /// What one of two machines sends to the other vanishes from now on, in both directions.
    pub fn cut(&self, one: usize, other: usize) {
        let rule = |from: &Machine, to: &Machine| {
            format!(
                "rule add iif {} to {} blackhole\n",
                from.link(),
                to.address()
            )
        };
        let (one, other) = (&self.machines[one], &self.machines[other]);
        ip(None, &(rule(one, other) + &rule(other, one)));
    }

    /// The same between one machine and all others.
    pub fn cut_off(&self, number: usize) {
        let others = (0..self.machines.len()).filter(|other| *other != number);
        others.for_each(|other| self.cut(number, other));
    }

    /// Everything arrives again.
    pub fn mend(&self) {
        ip(
            None,
            "rule flush\nrule add priority 32766 from all lookup main\n",
        );
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        setns(&self.home, CloneFlags::CLONE_NEWNET).expect("the thread was there");
    }
}

impl Machine {
    fn new(number: usize) -> Machine {
        // A thread's namespace lives as long as somebody has it open.
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            namespace()
        });
        let namespace = made.join().expect("it does not panic");
        Machine {
            number,
            namespace: Arc::new(namespace.expect("the thread before had one, too")),
        }
    }

    /// Its link to the thread's namespace.
    fn connect(&self) {
        let (link, address, hub) = (self.link(), self.address(), Network::HUB);
        let namespace = format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            self.namespace.as_raw_fd()
        );
        ip(
            None,
            &format!("link add name {link} type veth peer name hub netns {namespace}\n"),
        );
        ip(
            Some(self),
            &format!(
                "link set lo up\nlink set hub up\naddress add {address}/32 dev hub\n\
                 route add {hub}/32 dev hub\nroute add default via {hub}\n"
            ),
        );
        ip(
            None,
            &format!("link set {link} up\nroute add {address}/32 dev {link} src {hub}\n"),
        );
    }

    fn link(&self) -> String {
        format!("machine{}", self.number)
    }

    /// All ports of it are free.
    pub fn address(&self) -> String {
        format!("10.0.1.{}", 1 + self.number)
    }

    /// What a child does between fork and exec to be on this machine.
    pub fn enter(&self) -> impl FnMut() -> io::Result<()> + Send + Sync + 'static {
        let namespace = self.namespace.clone();
        move || Ok(setns(&namespace, CloneFlags::CLONE_NEWNET)?)
    }
}

/// The calling thread's.
fn namespace() -> io::Result<OwnedFd> {
    Ok(File::open("/proc/thread-self/ns/net")?.into())
}

/// iproute2, line by line, on a machine, or where the thread is.
#[track_caller]
fn ip(machine: Option<&Machine>, lines: &str) {
    let mut command = Command::new("ip");
    command.args(["-batch", "-"]).stdin(Stdio::piped());
    command.stderr(Stdio::piped());
    if let Some(machine) = machine {
        // SAFETY: it makes one system call, and touches nothing that a lock guards.
        unsafe { command.pre_exec(machine.enter()) };
    }
    let mut child = command.spawn().expect("ip");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(lines.as_bytes()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it is our child");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{lines}{said}");
}

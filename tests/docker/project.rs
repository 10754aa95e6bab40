//! `compose.yml`, up and running.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::debian_support::run;
use crate::engine::Engine;
use crate::images::{Images, ROOT};
use galo_testkit::{Address, PATIENCE};

pub const NODES: [&str; 2] = ["api01", "api02"];
pub const SERVICES: [&str; 3] = ["api01", "api02", "nginx"];

/// Three containers or more, two volumes and networks. All of it is removed when this is dropped.
pub struct Project<'a> {
    engine: &'a Engine,
    name: String,
    /// compose's.
    files: Vec<String>,
    variables: Vec<(String, String)>,
    /// nginx's.
    pub address: Address,
}

impl<'a> Project<'a> {
    /// `compose.yml`, up and healthy.
    pub fn up(images: &Images<'a>, variables: &[(&str, &str)]) -> Project<'a> {
        Project::up_from(images, &["compose.yml"], variables)
    }

    /// Several files, each adding to those before it.
    pub fn up_from(images: &Images<'a>, files: &[&str], variables: &[(&str, &str)]) -> Project<'a> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let own = [
            ("GALO_IMAGE", images.galo.as_str()),
            ("GALO_NGINX_IMAGE", &images.base),
            ("GALO_PROCESSOR_IMAGE", &images.processor),
            // One that the engine chooses: nobody else can have it by then.
            ("GALO_PORT", "0"),
        ];
        let variables = own.iter().chain(variables);
        let mut project = Project {
            engine: images.engine,
            name: format!("galotest{}x{number}", std::process::id()),
            files: files.iter().map(|file| (*file).to_owned()).collect(),
            variables: variables
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            address: Address::Tcp(String::new()),
        };
        let began = Instant::now();
        run(project.compose().args(["up", "-d", "--no-build"]));
        for service in SERVICES {
            project.wait_until_healthy(service);
        }
        project.address = project.published("nginx", 9999);
        println!("healthy after {:.1} s", began.elapsed().as_secs_f64());
        project
    }

    fn compose(&self) -> Command {
        let mut command = self.engine.command("docker-compose");
        command
            .args(["--project-name", &self.name])
            .args(self.files.iter().map(|file| format!("--file={file}")))
            .current_dir(ROOT)
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Where a port of a service is reached on this machine.
    pub fn published(&self, service: &str, port: u16) -> Address {
        let published = run(self.compose().args(["port", service, &port.to_string()]));
        let (_, port) = published.rsplit_once(':').expect("HOST:PORT");
        Address::Tcp(format!("127.0.0.1:{port}"))
    }

    pub fn container(&self, service: &str) -> String {
        let id = run(self.compose().args(["ps", "--quiet", service]));
        assert!(!id.is_empty(), "{service} has no container");
        id
    }

    /// Of a service's container, by a template of `docker inspect`.
    pub fn inspect(&self, service: &str, template: &str) -> String {
        let container = self.container(service);
        self.engine
            .docker(&["inspect", "--format", template, &container])
    }

    /// The first process of a service's container, as the machine numbers it.
    pub fn pid(&self, service: &str) -> i32 {
        let pid = self.inspect(service, "{{.State.Pid}}");
        pid.parse().expect("a number")
    }

    /// All processes of a service's container, as the machine numbers them.
    pub fn pids(&self, service: &str) -> Vec<i32> {
        let container = self.container(service);
        let listed = self.engine.docker(&["top", &container, "-eo", "pid"]);
        let pids = listed.lines().skip(1).map(|pid| pid.trim().parse());
        pids.collect::<Result<_, _>>().expect("numbers")
    }

    pub fn log(&self, service: &str) -> String {
        let mut command = self.compose();
        run(command.args(["logs", "--no-color", service]))
    }

    /// `docker restart`.
    pub fn restart(&self, service: &str) {
        self.engine.docker(&["restart", &self.container(service)]);
        self.wait_until_healthy(service);
    }

    pub fn wait_until_healthy(&self, service: &str) {
        self.wait_until(service, "{{.State.Health.Status}}", |status| {
            status == "healthy"
        });
    }

    /// Until what `docker inspect` says is as it should be.
    pub fn wait_until(&self, service: &str, template: &str, is_good: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.inspect(service, template);
            if is_good(&said) {
                return;
            }
            assert!(Instant::now() < deadline, "{service} remains {said}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Project<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut command = self.compose();
            command.args(["logs", "--no-color", "--tail", "100"]);
            let output = command.output();
            let output = output.map(|output| output.stdout).unwrap_or_default();
            eprintln!("{}", String::from_utf8_lossy(&output));
        }
        let output = self.compose().args(["down", "--volumes"]).output();
        if !output.as_ref().is_ok_and(|output| output.status.success()) {
            eprintln!("{} is left: {output:?}", self.name);
        }
    }
}

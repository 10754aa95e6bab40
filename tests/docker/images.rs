//! The images: a stand-in for what would be pulled, and Galo's own.

use std::path::Path;
use std::process::Command;

use crate::debian_support::{debian_tar, run, BASE};
use crate::engine::Engine;

/// The project's directory.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The images of this test, removed when this is dropped.
pub struct Images<'a> {
    pub engine: &'a Engine,
    /// Debian with nginx: what the binary runs on, and the balancer.
    pub base: String,
    /// Galo.
    pub galo: String,
    /// The payment processor.
    pub processor: String,
}

impl Images<'_> {
    pub fn make(engine: &Engine) -> Images<'_> {
        let name = format!("galo-test-{}", std::process::id());
        let images = Images {
            engine,
            base: format!("{name}:base"),
            galo: format!("{name}:galo"),
            processor: format!("{name}:processor"),
        };
        let tar = debian_tar(BASE);
        engine.docker(&["import", path_text(&tar), &images.base]);
        // Who has made the release build says so (`.ci/run`): in a test's environment cargo would make it once more.
        if std::env::var_os("GALO_PROGRAMS_BUILT").is_none() {
            run(Command::new(env!("CARGO"))
                .args([
                    "build",
                    "--release",
                    "--locked",
                    "--workspace",
                    "--target-dir",
                    "target",
                ])
                .current_dir(ROOT));
        }
        // Without BuildKit, which Debian has not.
        run(engine
            .command("docker")
            .env("DOCKER_BUILDKIT", "0")
            .args(["build", "--quiet", "--target", "prebuilt"])
            .args(["--build-arg", &format!("RUNTIME_IMAGE={}", images.base)])
            .args(["--build-arg", "GALO_GIT_HASH=0123456789ab"])
            .args(["--tag", &images.galo, ROOT]));
        run(engine
            .command("docker")
            .env("DOCKER_BUILDKIT", "0")
            .args(["build", "--quiet", "--target", "prebuilt"])
            .args(["--file", "tools/processor/Dockerfile"])
            .args(["--build-arg", &format!("RUNTIME_IMAGE={}", images.base)])
            .args(["--tag", &images.processor, "."])
            .current_dir(ROOT));
        images
    }

    /// What the image says of itself is what the binary says.
    pub fn expect_labels(&self) {
        let label = |name: &str| {
            let format =
                format!("{{{{index .Config.Labels \"org.opencontainers.image.{name}\"}}}}");
            let arguments = ["image", "inspect", "--format", &format, &self.galo];
            self.engine.docker(&arguments)
        };
        let version = self
            .engine
            .docker(&["run", "--rm", &self.galo, "--version"]);
        let expected = format!("galo {} (", label("version"));
        assert!(version.starts_with(&expected), "{version}");
        assert_eq!(label("licenses"), env!("CARGO_PKG_LICENSE"));
        assert_eq!(label("description"), env!("CARGO_PKG_DESCRIPTION"));
        assert_eq!(label("revision"), "0123456789ab");
    }
}

impl Drop for Images<'_> {
    fn drop(&mut self) {
        for image in [&self.galo, &self.processor, &self.base] {
            let mut command = self.engine.command("docker");
            // It may never have come into being.
            let _ = command.args(["image", "rm", image]).output();
        }
    }
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

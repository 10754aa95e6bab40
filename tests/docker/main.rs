//! The containers, as `compose.yml` has them: `cargo test --features docker-tests --test docker`, as
//! root on Debian with its packages docker.io, docker-compose and debootstrap. `-- --nocapture` shows
//! the figures.
//!
//! Nothing is pulled: a bare Debian with nginx stands in for the base images, and the binary is the
//! release build of this tree. Where no engine runs, one of our own does for as long as the test.
//!
//! One test, because all of it shares the engine and the images, and because containers that ran
//! beside the measured ones would be measured, too.

#[path = "../debian_support/mod.rs"]
mod debian_support;

mod engine;
mod images;
mod project;

mod limits;
mod memory;
mod payments;
mod restarts;
mod seccomp;
mod takeover;

use engine::Engine;
use galo_testkit::contest_2024;
use images::Images;
use project::Project;

#[test]
fn two_containers_behind_nginx() {
    let engine = Engine::find_or_start();
    let images = Images::make(&engine);
    images.expect_labels();

    let project = Project::up(&images, &[("GALO_LB", "lb.conf")]);
    limits::add_up(&project);
    seccomp::allows_io_uring(&project);
    contest_2024(&project.address);
    memory::stays_below_its_limit(&project);
    memory::suffices_for_a_crowd_that_does_not_read(&project);
    takeover::fits_with_all_keys_remembered(&project);
    drop(project);

    let project = Project::up(&images, &[("GALO_LB", "lb-http.conf")]);
    restarts::fail_no_request(&project);
    drop(project);

    let project = Project::up_from(&images, &payments::FILES, &payments::VARIABLES);
    let processors = payments::Processors::of(&project);
    payments::are_made_once(&project, &processors);
    payments::fit_where_all_wait(&project, &processors);
    drop(project);
    payments::reach_the_contests_network(&images);

    seccomp::without_io_uring_it_is_epoll(&images);
}

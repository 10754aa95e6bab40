//! What the containers may use, and may do.

use crate::project::{Project, SERVICES};

const MEMORY_MB_MAX: u64 = 350;
const CPUS_MAX: f64 = 1.5;

/// All three together stay within the budget, and none of them may do more than it has to.
pub fn add_up(project: &Project<'_>) {
    let of_all = |template: &str| {
        let numbers = SERVICES.map(|service| {
            let number = project.inspect(service, template);
            number.parse::<u64>().expect("a number")
        });
        assert!(!numbers.contains(&0), "{template}: 0 is no limit");
        numbers.iter().sum::<u64>()
    };
    let memory = of_all("{{.HostConfig.Memory}}");
    assert!(memory <= MEMORY_MB_MAX * 1_000_000, "{memory}");
    let cpus = of_all("{{.HostConfig.NanoCpus}}") as f64 / 1e9;
    assert!(cpus <= CPUS_MAX, "{cpus}");
    for service in SERVICES {
        for (template, expected) in [
            ("{{.Config.User}}", "10001:10001"),
            ("{{.HostConfig.ReadonlyRootfs}}", "true"),
            ("{{.HostConfig.CapDrop}}", "[ALL]"),
            (
                "{{index .HostConfig.SecurityOpt 0}}",
                "no-new-privileges:true",
            ),
        ] {
            let said = project.inspect(service, template);
            assert_eq!(said, expected, "{service}: {template}");
        }
    }
}

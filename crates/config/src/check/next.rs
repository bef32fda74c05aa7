//! Where the instances lead: unknown ones, loops, dead ends.

use mail::InstanceName;

use super::Findings;
use crate::model::{InstanceConfig, Next, Role};
use crate::nearest::{nearest, quoted};

/// The ports of mail servers of the world: 25 of RFC 5321, 465 and 587 of RFC 8314.
const MAIL_PORTS: [u16; 3] = [25, 465, 587];

pub(super) fn check(findings: &mut Findings<'_>) {
    let config = findings.config;
    for instance in &config.instances {
        match &instance.next {
            Some(Next::Instance(name)) if config.instance(name).is_none() => {
                unknown(findings, instance, name);
            }
            Some(Next::Smtp(host))
                if instance.role.is_front() && MAIL_PORTS.contains(&host.port) =>
            {
                let text = format!(
                    "a front may not connect to port {}: only an output reaches mail servers, so \
                     that the kernel can hold the fronts to it; hand over to an output with a \
                     `relay` route, or give that server another port",
                    host.port
                );
                findings.error(instance, &["next"], text);
            }
            Some(Next::Instance(_) | Next::Smtp(_)) => {}
            None if instance.routes.is_empty() => dead_end(findings, instance),
            None => {}
        }
        if instance.role == Role::Output
            && instance.listen.is_empty()
            && !is_reached(findings, instance)
        {
            let text = format!(
                "nothing leads to `{0}`: it does not listen, and no other instance has `next = \
                 \"{0}\"`",
                instance.name
            );
            findings.warning(instance, &[], text);
        }
    }
    loops(findings);
}

fn unknown(findings: &mut Findings<'_>, instance: &InstanceConfig, name: &InstanceName) {
    let others = findings
        .config
        .instances
        .iter()
        .map(|other| other.name.as_str())
        .filter(|other| *other != instance.name.as_str());
    let hint = match nearest(name.as_str(), others.clone()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if others.clone().next().is_none() => String::new(),
        None => format!("; there are {}", quoted(others)),
    };
    findings.error(
        instance,
        &["next"],
        format!("there is no instance `{name}`{hint}"),
    );
}

fn dead_end(findings: &mut Findings<'_>, instance: &InstanceConfig) {
    let name = &instance.name;
    let missing = match instance.role {
        Role::Input | Role::Submission => {
            let mut instances = findings.config.instances.iter();
            let output = instances.find(|other| other.role == Role::Output);
            let output = output.map_or("output", |output| output.name.as_str());
            format!("`next`, the instance that delivers, such as `next = \"{output}\"`")
        }
        Role::Output => "routes, which say what becomes of whose mail, such as".to_owned(),
    };
    let text = format!("a dead end: what `{name}` accepts goes nowhere; it needs {missing}");
    findings.error(instance, &[], text);
    if instance.role == Role::Output {
        findings.add_example(format!(
            "[[instance.{name}.route]]\n\
             domain = \"example.org\"\n\
             users  = [\"postmaster\", \"alice\"]\n\
             to     = {{ maildir = \"/var/mail/{{domain}}/{{local}}\" }}"
        ));
    }
}

fn is_reached(findings: &Findings<'_>, instance: &InstanceConfig) -> bool {
    let mut nexts = findings
        .config
        .instances
        .iter()
        .filter_map(|other| other.next.as_ref());
    nexts.any(|next| matches!(next, Next::Instance(name) if *name == instance.name))
}

/// Each loop is told once, at its member that comes first in the file.
fn loops(findings: &mut Findings<'_>) {
    let config = findings.config;
    let step = |from: usize| -> Option<usize> {
        let Some(Next::Instance(name)) = &config.instances[from].next else {
            return None;
        };
        config
            .instances
            .iter()
            .position(|other| other.name == *name)
    };
    for (first, instance) in config.instances.iter().enumerate() {
        // Every instance has one next at most, so a loop through the first one comes back to it
        // within as many steps as there are instances.
        let way: Vec<usize> = std::iter::successors(step(first), |at| step(*at))
            .take(config.instances.len())
            .collect();
        let Some(length) = way.iter().position(|at| *at == first) else {
            continue;
        };
        if way[..length].iter().any(|at| *at < first) {
            continue;
        }
        let mut names = vec![instance.name.as_str()];
        names.extend(
            way[..=length]
                .iter()
                .map(|at| config.instances[*at].name.as_str()),
        );
        findings.error(
            instance,
            &["next"],
            format!("a loop: {}", names.join(" -> ")),
        );
    }
}

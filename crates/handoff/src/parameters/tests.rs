//! Round trips and hostile texts for handoff parameters.

use mail::{SpoolId, TraceId};

use super::*;

fn full() -> Parameters {
    Parameters {
        provenance: Provenance {
            trace: TraceId::new(Timestamp::from_unix_ms(1_795_477_800_000), 77),
            origin: Origin::Authenticated("al;ice=50%@example.org".into()),
            arrived: Timestamp::from_unix_ms(1_795_477_800_000),
            client: Some(Client {
                address: Some("2001:db8::1".parse().unwrap()),
                port: 40_000,
                helo: "[käthe, 192.0.2.1]".into(),
                name: Some("client.example".into()),
                security: Security::Tls,
                extended: true,
            }),
            visited: vec!["input".parse().unwrap(), "output-2".parse().unwrap()],
            about: Some(TraceId::new(Timestamp::from_unix_ms(5), 6)),
        },
        key: Some(HandoffKey {
            sender: SpoolId::from_bytes([7; 16]),
            epoch: 3,
            number: 12,
        }),
        lowest_unsettled: 9,
        mode: Mode::Each,
    }
}

#[test]
fn what_is_written_reads_back_the_same() {
    let mut parameters = full();
    assert_eq!(
        Parameters::parse(&parameters.to_text()),
        Ok(parameters.clone())
    );
    parameters.key = None;
    parameters.lowest_unsettled = 0;
    parameters.provenance.client = None;
    parameters.provenance.about = None;
    parameters.provenance.visited.clear();
    for origin in [
        Origin::Generated,
        Origin::Outside,
        Origin::Local { uid: 1000 },
    ] {
        parameters.provenance.origin = origin;
        assert_eq!(
            Parameters::parse(&parameters.to_text()),
            Ok(parameters.clone())
        );
    }
}

#[test]
fn a_later_version_may_add_fields() {
    let text = format!("{};z=1;zz=2", full().to_text());
    assert_eq!(Parameters::parse(&text), Ok(full()));
}

#[test]
fn every_missing_or_doubled_field_is_named() {
    let text = full().to_text();
    for field in ['t', 'o', 'a', 'v', 'l', 'm'] {
        let without: Vec<_> = text
            .split(';')
            .filter(|f| !f.starts_with(&format!("{field}=")))
            .collect();
        assert_eq!(
            Parameters::parse(&without.join(";")),
            Err(ParameterError::Field(field))
        );
        let twice = format!("{text};{field}=1");
        assert_eq!(Parameters::parse(&twice), Err(ParameterError::Field(field)));
    }
}

#[test]
fn hostile_values_are_refused() {
    let text = full().to_text();
    for (field, value) in [
        ('t', "short"),
        ('o', "uid:-1"),
        ('o', "auth:"),
        ('o', "root"),
        ('a', "-1"),
        ('c', "not-an-address"),
        ('h', "a%0D%0Ab"),
        ('h', "%4"),
        ('h', "%zz"),
        ('v', "input,,output"),
        ('v', "../input"),
        ('k', "7.3.12"),
        ('l', "13"),
        ('m', "some"),
        ('s', "ssl"),
    ] {
        let changed: Vec<_> = text
            .split(';')
            .map(|f| match f.starts_with(&format!("{field}=")) {
                true => format!("{field}={value}"),
                false => f.to_owned(),
            })
            .collect();
        assert!(
            Parameters::parse(&changed.join(";")).is_err(),
            "{field}={value}"
        );
    }
    let far = vec!["a"; VISITED_MAX + 1].join(",");
    assert!(Parameters::parse(&text.replace("v=input,output-2", &format!("v={far}"))).is_err());
}

//! What an instance takes over an edge, under the lowest limits that can be set.

use super::*;

fn output_with_limits(limits: &str) -> InstanceConfig {
    let text = format!(
        "hostname = \"h.example\"\n\
         [instance.output]\nrole = \"output\"\nlisten = [\"127.0.0.1:0\"]\n\
         limits = {{ {limits} }}\n\
         [[instance.output.route]]\ndomain = \"*\"\nto = {{ hold = \"why\" }}\n"
    );
    let config = Config::parse(&text, "postern.toml", None).unwrap();
    config.instances.into_iter().next().unwrap()
}

#[test]
fn no_limit_of_an_instance_refuses_a_handoff_before_its_key_is_known() {
    let lowest = "recipients = 100, message_size = \"64 KiB\", line_length = \"998 B\"";
    let own = output_with_limits(lowest);
    let on_edges = edge(&own).limits;
    assert_eq!(on_edges.content_len_max, MESSAGE_SIZE_MAX);
    assert_eq!(on_edges.content_line_len_max, octets(LINE_LENGTH_MAX));
    assert_eq!(on_edges.recipients_max, octets(RECIPIENTS_MAX));
    let expected = HandoffLimits {
        content_len_max: 64 << 10,
        line_len_max: 998,
        recipients_max: 100,
    };
    assert_eq!(handoff_limits(&own.limits), expected);
}

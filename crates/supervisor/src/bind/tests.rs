//! Listeners on ports of the kernel's choice and socket files in a directory of their own.

use std::os::unix::net::UnixListener;

use testkit::Scratch;

use super::*;

fn address(scratch: &Scratch) -> ListenAddress {
    ListenAddress::Unix(scratch.path().join("socket"))
}

fn bind(address: &ListenAddress) -> Result<Bound, BindError> {
    Bound::new(address, OpenFor::Owner)
}

#[test]
fn a_port_is_bound_once() {
    let any = ListenAddress::Tcp("127.0.0.1:0".parse().unwrap());
    let first = bind(&any).unwrap();
    assert_ne!(first.actual, any);
    let error = bind(&first.actual).unwrap_err();
    assert!(
        error.to_string().contains("cannot listen on 127.0.0.1:"),
        "{error}"
    );
    assert!(error.to_string().contains("`ss -ltnp`"), "{error}");
}

#[test]
fn what_cannot_be_bound_says_what_to_look_at() {
    let scratch = Scratch::new();
    // For documentation: nobody has it.
    let elsewhere = ListenAddress::Tcp("192.0.2.77:0".parse().unwrap());
    let nowhere = ListenAddress::Unix(scratch.path().join("no-folder/socket"));
    for (address, words) in [
        (elsewhere, "this machine has no such address"),
        (nowhere, "its folder has to be there"),
    ] {
        let error = bind(&address).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_port_is_free_again_while_an_old_connection_lingers() {
    let first = bind(&ListenAddress::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
    let ListenAddress::Tcp(address) = first.actual else {
        panic!("not TCP")
    };
    let client = std::net::TcpStream::connect(address).unwrap();
    let listener = std::net::TcpListener::from(first.socket.try_clone().unwrap());
    // The side that closes first is the one whose port lingers.
    drop(listener.accept().unwrap());
    drop((client, listener, first));
    bind(&ListenAddress::Tcp(address)).unwrap();
}

#[test]
fn a_socket_file_left_behind_is_replaced() {
    let scratch = Scratch::new();
    drop(UnixListener::bind(scratch.path().join("socket")).unwrap());
    let bound = bind(&address(&scratch)).unwrap();
    let mode = std::fs::metadata(scratch.path().join("socket"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    UnixStream::connect(scratch.path().join("socket")).unwrap();
    drop(bound);
    assert!(!scratch.path().join("socket").exists());
}

#[test]
fn a_socket_that_answers_is_not_taken_away() {
    let scratch = Scratch::new();
    let _alive = UnixListener::bind(scratch.path().join("socket")).unwrap();
    let error = bind(&address(&scratch)).unwrap_err();
    assert!(
        error.to_string().ends_with("another program answers there"),
        "{error}"
    );
    UnixStream::connect(scratch.path().join("socket")).unwrap();
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path().join("socket"), "precious").unwrap();
    assert!(bind(&address(&scratch)).is_err());
    assert_eq!(
        std::fs::read_to_string(scratch.path().join("socket")).unwrap(),
        "precious"
    );
}

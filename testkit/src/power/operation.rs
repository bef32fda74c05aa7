//! What a call does to the file system, or says over a socket.

use super::call::{Arguments, Call};

/// Octets of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Data {
    Octets(Vec<u8>),
    Zeros(u64),
}

impl Data {
    /// Those that are not all zeros.
    pub(super) const fn octets(&self) -> Option<&[u8]> {
        match self {
            Self::Octets(octets) => Some(octets.as_slice()),
            Self::Zeros(_) => None,
        }
    }

    /// How many octets these are.
    pub(super) const fn n_octets(&self) -> u64 {
        match self {
            Self::Octets(octets) => octets.len() as u64,
            Self::Zeros(n) => *n,
        }
    }
}

/// What a call does. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Makes a file, or empties it where `truncates`.
    Create {
        path: String,
        truncates: bool,
    },
    /// Makes another name for a file.
    Link {
        from: String,
        to: String,
    },
    MakeDirectory {
        path: String,
    },
    Remove {
        path: String,
    },
    Rename {
        from: String,
        to: String,
    },
    /// Said over a socket.
    Say {
        text: String,
    },
    /// A reply that was heard over a socket.
    Hear {
        text: String,
    },
    SetLength {
        path: String,
        len: u64,
    },
    Sync {
        path: String,
    },
    /// At the end where there is no offset.
    Write {
        path: String,
        offset: Option<u64>,
        data: Vec<Data>,
        is_durable: bool,
    },
}

/// The calls that are recorded: all that change a file system or make it durable, and what is said
/// over sockets.
pub(super) const RECORDED: &str = "trace=creat,open,openat,openat2,mkdir,mkdirat,rename,renameat,\
    renameat2,unlink,unlinkat,rmdir,link,linkat,symlink,symlinkat,truncate,ftruncate,fallocate,\
    copy_file_range,sendfile,splice,write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,sync,\
    syncfs,mmap,io_uring_setup,sendto,sendmsg,sendmmsg,recvfrom";

impl Operation {
    /// What a call that succeeded does; `None` for nothing that matters to the directory
    /// `root`.
    ///
    /// # Panics
    /// When it changes files below `root` in a way that is not known here.
    pub(super) fn of(call: &Call, root: &str) -> Option<Self> {
        let n = call.result?;
        let mut arguments = Arguments(&call.arguments);
        let operation = match call.name.as_str() {
            "open" | "openat" => open(&mut arguments, root),
            "mkdir" | "mkdirat" => path(&mut arguments).map(|path| Self::MakeDirectory { path }),
            "rename" | "renameat" | "renameat2" => {
                two_paths(&mut arguments).map(|(from, to)| Self::Rename { from, to })
            }
            "link" | "linkat" => {
                two_paths(&mut arguments).map(|(from, to)| Self::Link { from, to })
            }
            "unlink" | "unlinkat" | "rmdir" => {
                path(&mut arguments).map(|path| Self::Remove { path })
            }
            "fallocate" => allocate(&mut arguments, root),
            "ftruncate" => truncate(&mut arguments),
            "fsync" | "fdatasync" => {
                let file = arguments.descriptor()?;
                let path = file.path.to_owned();
                (!file.is_deleted).then_some(Self::Sync { path })
            }
            "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2" | "sendto" | "sendmsg"
            | "sendmmsg" => write(call, n, root),
            "recvfrom" => {
                let is_tcp = arguments.descriptor()?.path.starts_with(TCP);
                let text = is_tcp.then(|| words(&mut arguments));
                text.filter(|text| is_reply(text))
                    .map(|text| Self::Hear { text })
            }
            // A link from elsewhere to a place below `root` changes nothing there.
            "symlink" if two_paths(&mut arguments).is_some_and(|(_, to)| !to.starts_with(root)) => {
                None
            }
            _ => {
                let text = String::from_utf8_lossy(&call.arguments);
                let matters = text.contains(root)
                    && (call.name != "mmap"
                        || text.contains("PROT_WRITE") && text.contains("MAP_SHARED"))
                    || call.name == "io_uring_setup";
                assert!(
                    !matters,
                    "not known to the model: {}({text:.500})",
                    call.name
                );
                None
            }
        };
        operation.filter(|operation| operation.is_below(root))
    }

    fn is_below(&self, root: &str) -> bool {
        match self {
            // The directory that holds it is not changed by others, but synced.
            Self::Sync { path } => path.starts_with(root) || is_parent(path, root),
            Self::Create { path, .. }
            | Self::MakeDirectory { path }
            | Self::Remove { path }
            | Self::Rename { from: path, .. }
            | Self::Link { from: path, .. }
            | Self::SetLength { path, .. }
            | Self::Write { path, .. } => path.starts_with(root),
            Self::Say { .. } | Self::Hear { .. } => true,
        }
    }
}

fn is_parent(path: &str, of: &str) -> bool {
    of.rsplit_once('/')
        .is_some_and(|(parent, _)| parent == path)
}

fn open(arguments: &mut Arguments<'_>, root: &str) -> Option<Operation> {
    let path = path(arguments).filter(|path| path.starts_with(root))?;
    let flags = arguments.word();
    // A file that is synced at each write would be more durable than the model says.
    let is_known = !flags.contains("SYNC") && !flags.contains("O_TMPFILE");
    assert!(is_known, "not known to the model: {flags}");
    let truncates = flags.contains("O_TRUNC");
    (truncates || flags.contains("O_CREAT")).then_some(Operation::Create { path, truncates })
}

fn truncate(arguments: &mut Arguments<'_>) -> Option<Operation> {
    let file = arguments.descriptor()?;
    let path = file.path.to_owned();
    let len = arguments.number()?;
    (!file.is_deleted).then_some(Operation::SetLength { path, len })
}

/// A file that is allocated from its beginning on is as long as that, and reads as zeros. Only new
/// files are: an allocation behind the end of a longer one would not shorten it.
fn allocate(arguments: &mut Arguments<'_>, root: &str) -> Option<Operation> {
    let file = arguments.descriptor()?;
    let path = file.path.to_owned();
    let how = [arguments.number(), arguments.number()];
    let is_known = !path.starts_with(root) || how == [Some(0), Some(0)];
    assert!(
        is_known,
        "not known to the model: an allocation with {how:?}"
    );
    let len = arguments.number()?;
    (!file.is_deleted).then_some(Operation::SetLength { path, len })
}

/// A path relative to a descriptor, or by itself; `None` when it names the descriptor alone.
fn path(arguments: &mut Arguments<'_>) -> Option<String> {
    let directory = arguments.path_before_text();
    let name = String::from_utf8(arguments.text()?.octets).expect("a path of ours is text");
    if name.starts_with('/') {
        return Some(name);
    }
    let directory = directory.expect("strace says where a path begins");
    Some(format!("{directory}/{name}"))
}

fn two_paths(arguments: &mut Arguments<'_>) -> Option<(String, String)> {
    Some((path(arguments)?, path(arguments)?))
}

/// What strace calls a connection to a client or to another host.
const TCP: &str = "TCP:";

/// As much of what is said at once is kept, in octets: replies are short, contents are not needed.
const WORDS_LEN_MAX: usize = 4096;

fn words(arguments: &mut Arguments<'_>) -> String {
    let mut said = Vec::new();
    while let Some(part) = arguments.next_text() {
        said.extend(part.octets);
    }
    said.truncate(WORDS_LEN_MAX);
    String::from_utf8_lossy(&said).into_owned()
}

/// Whether it is what a server says, and no client.
fn is_reply(text: &str) -> bool {
    let code = text.as_bytes().get(..3);
    code.is_some_and(|code| code.iter().all(u8::is_ascii_digit))
}

/// A write to a file or a socket, of which `n` octets were taken.
fn write(call: &Call, n: u64, root: &str) -> Option<Operation> {
    let mut arguments = Arguments(&call.arguments);
    let file = arguments.descriptor()?;
    if file.path.starts_with(TCP) {
        let text = words(&mut arguments);
        return Some(Operation::Say { text });
    }
    if file.is_deleted || !file.path.starts_with(root) {
        return None;
    }
    let is_vector = call.name.ends_with('v') || call.name.ends_with("v2");
    let mut data = Vec::new();
    let mut left = n;
    while let Some(part) = arguments.next_text() {
        // Behind the text stands how long it is: `, iov_len=…}` or `, …`.
        let len = arguments.number()?.min(left);
        left -= len;
        let is_whole = part.octets.len() as u64 >= len;
        let mut octets = part.octets;
        octets.truncate(usize::try_from(len).expect("a write fits into memory"));
        let is_zero = octets.iter().all(|octet| *octet == 0);
        // The rest of a text that is too long for strace can only be the rest of a preparation:
        // whether it was is seen when the end is compared with what is really there.
        assert!(is_whole || is_zero, "cut short by strace: {}", file.path);
        data.push(if is_zero {
            Data::Zeros(len)
        } else {
            Data::Octets(octets)
        });
    }
    let offset = match call.name.as_str() {
        "write" | "writev" => None,
        _ => {
            // Behind the vector stands its length.
            let _slices = is_vector.then(|| arguments.number());
            Some(arguments.number()?)
        }
    };
    let flags = arguments.0;
    let is_durable = flags.windows(9).any(|word| word == b"RWF_DSYNC")
        || flags.windows(8).any(|word| word == b"RWF_SYNC");
    Some(Operation::Write {
        path: file.path.to_owned(),
        offset,
        data,
        is_durable,
    })
}

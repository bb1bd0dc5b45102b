use super::*;

/// What a test server cannot easily be brought to answer.
#[test]
fn each_status_has_its_fault_and_says_what_to_do() {
    let share = Share::parse("nas", "/export").unwrap();
    let scene = Scene {
        share: &share,
        uid: 0,
        privileged: true,
    };
    let cases = [
        (
            Step::Make,
            Status::NOSPC,
            Fault::NoSpace,
            "the file system is full (NFS4ERR_NOSPC). Free space on the server, or enlarge it.",
        ),
        (
            Step::Make,
            Status::DQUOT,
            Fault::NoSpace,
            "the quota is used up (NFS4ERR_DQUOT). Raise it on the server, or free space.",
        ),
        (
            Step::Share("export"),
            Status::WRONGSEC,
            Fault::Denied,
            "the server wants Kerberos there, which this client does not speak. Export the share with sec=sys.",
        ),
        (
            Step::Segment("a"),
            Status::MOVED,
            Fault::Other,
            "the server says that this has moved to another server. Name that one in the class.",
        ),
        (
            Step::Make,
            Status::NAMETOOLONG,
            Fault::Other,
            "a name in it is too long for the server's file system (NFS4ERR_NAMETOOLONG). Shorten the directory's \
             name.",
        ),
        (
            Step::SetOwner,
            Status::BADOWNER,
            Fault::Denied,
            "the server does not take owners as numbers (NFS4ERR_BADOWNER). Let it: nfs4_disable_idmapping=Y for \
             Linux' nfsd, v4-numeric-ids enabled for ONTAP, Allow_Numeric_Owners for nfs-ganesha.",
        ),
        (
            Step::Inside("b"),
            Status::IO,
            Fault::Other,
            "in its directory \"b\", the server answers NFS4ERR_IO. Look for the reason in the server's log.",
        ),
        (
            Step::List,
            Status(4711),
            Fault::Other,
            "the server answers NFS status 4711. Look for the reason in the server's log.",
        ),
    ];
    for (step, status, fault, text) in cases {
        assert_eq!(refused(&scene, step, status), (fault, text.to_owned()));
    }
}

#[test]
fn a_denial_to_an_ordinary_port_names_the_port() {
    let share = Share::parse("nas", "/export").unwrap();
    let scene = Scene {
        share: &share,
        uid: 0,
        privileged: false,
    };
    let (fault, text) = refused(&scene, Step::Segment("a"), Status::PERM);
    assert_eq!(fault, Fault::Denied);
    assert_eq!(
        text,
        "the server denies it to uid 0 (NFS4ERR_PERM). Root is probably squashed there: export with no_root_squash, or \
         run Bindery with the owner's --nfs-uid and --nfs-gid. Bindery came from a source port above 1023, which many \
         exports turn away: set the sysctl net.ipv4.ip_unprivileged_port_start=0 for its pod, or export with insecure."
    );
}

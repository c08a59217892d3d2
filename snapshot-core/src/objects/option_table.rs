//! Every socket option that can be read and set: the table that [`super::options`] walks.
//!
//! Context: AS-SAFE.

/// How the copy treats an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// For all sockets, also connections.
    Everywhere,
    /// Not for connections: few set it there, or the kernel changes it by itself.
    Unconnected,
    /// A buffer's size. The kernel reports twice the size that was set, and adapts it if none was
    /// set. `forced` is the option that allows more with privileges.
    Buffer { forced: i32, lock: u8 },
    /// `TCP_MAXSEG`: the value reported for an unset one can't be set.
    Segment,
    /// For datagram sockets only: for streams it means something else.
    Datagrams,
}

use How::{Buffer, Datagrams, Everywhere, Segment, Unconnected};

/// An option.
#[derive(Debug, Clone, Copy)]
pub(super) struct Option_ {
    pub(super) level: i32,
    pub(super) name: i32,
    pub(super) how: How,
}

const fn each<const N: usize>(level: i32, how: How, names: [i32; N]) -> [Option_; N] {
    let mut all = [Option_ {
        level,
        name: 0,
        how,
    }; N];
    let mut at = 0;
    while at < N {
        all[at].name = names[at];
        at += 1;
    }
    all
}

pub(super) const SO_BUF_LOCK: i32 = 72;
pub(super) const SO_LOCK_FILTER: i32 = 44;
pub(super) const SO_DETACH_FILTER: i32 = libc::SO_DETACH_FILTER;
pub(super) const IPPROTO_ICMP_LEVEL: i32 = 255;
pub(super) const SOL_PACKET: i32 = 263;
pub(super) const SOL_NETLINK: i32 = 270;

const GENERAL: [Option_; 15] = each(
    libc::SOL_SOCKET,
    Everywhere,
    [
        libc::SO_REUSEADDR,
        libc::SO_REUSEPORT,
        libc::SO_KEEPALIVE,
        libc::SO_BROADCAST,
        libc::SO_LINGER,
        libc::SO_OOBINLINE,
        libc::SO_RCVLOWAT,
        libc::SO_RCVTIMEO,
        libc::SO_SNDTIMEO,
        libc::SO_PRIORITY,
        libc::SO_PASSCRED,
        libc::SO_TIMESTAMP,
        libc::SO_MARK,
        libc::SO_PEEK_OFF,
        libc::SO_BUSY_POLL,
    ],
);

const BUFFERS: [Option_; 2] = [
    Option_ {
        level: libc::SOL_SOCKET,
        name: libc::SO_SNDBUF,
        how: Buffer {
            forced: libc::SO_SNDBUFFORCE,
            lock: 1,
        },
    },
    Option_ {
        level: libc::SOL_SOCKET,
        name: libc::SO_RCVBUF,
        how: Buffer {
            forced: libc::SO_RCVBUFFORCE,
            lock: 2,
        },
    },
];

/// Rare options, by number if libc has no name for it.
const RARE: [Option_; 26] = each(
    libc::SOL_SOCKET,
    Unconnected,
    [
        libc::SO_DEBUG,
        libc::SO_DONTROUTE,
        libc::SO_NO_CHECK,
        libc::SO_PASSSEC,
        libc::SO_TIMESTAMPNS,
        libc::SO_TIMESTAMPING,
        63, // SO_TIMESTAMP_NEW
        64, // SO_TIMESTAMPNS_NEW
        65, // SO_TIMESTAMPING_NEW
        libc::SO_RXQ_OVFL,
        libc::SO_WIFI_STATUS,
        libc::SO_NOFCS,
        libc::SO_SELECT_ERR_QUEUE,
        libc::SO_MAX_PACING_RATE,
        libc::SO_INCOMING_CPU,
        libc::SO_ZEROCOPY,
        libc::SO_TXTIME,
        libc::SO_BINDTOIFINDEX,
        libc::SO_PREFER_BUSY_POLL,
        libc::SO_BUSY_POLL_BUDGET,
        73, // SO_RESERVE_MEM
        74, // SO_TXREHASH
        75, // SO_RCVMARK
        76, // SO_PASSPIDFD
        82, // SO_RCVPRIORITY
        83, // SO_PASSRIGHTS
    ],
);

/// After the options that it locks.
const LOCKS: [Option_; 1] = each(libc::SOL_SOCKET, Unconnected, [SO_BUF_LOCK]);

const TCP: [Option_; 9] = each(
    libc::IPPROTO_TCP,
    Everywhere,
    [
        libc::TCP_NODELAY,
        libc::TCP_CORK,
        libc::TCP_KEEPIDLE,
        libc::TCP_KEEPINTVL,
        libc::TCP_KEEPCNT,
        libc::TCP_SYNCNT,
        libc::TCP_LINGER2,
        libc::TCP_DEFER_ACCEPT,
        libc::TCP_USER_TIMEOUT,
    ],
);

const SEGMENT: [Option_; 1] = each(libc::IPPROTO_TCP, Segment, [libc::TCP_MAXSEG]);

const RARE_TCP: [Option_; 16] = each(
    libc::IPPROTO_TCP,
    Unconnected,
    [
        libc::TCP_WINDOW_CLAMP,
        libc::TCP_QUICKACK,
        libc::TCP_CONGESTION,
        libc::TCP_THIN_LINEAR_TIMEOUTS,
        libc::TCP_THIN_DUPACK,
        libc::TCP_FASTOPEN,
        25, // TCP_NOTSENT_LOWAT
        27, // TCP_SAVE_SYN
        30, // TCP_FASTOPEN_CONNECT
        33, // TCP_FASTOPEN_KEY
        34, // TCP_FASTOPEN_NO_COOKIE
        36, // TCP_INQ
        37, // TCP_TX_DELAY
        44, // TCP_RTO_MAX_MS
        45, // TCP_RTO_MIN_US
        46, // TCP_DELACK_MAX_US
    ],
);

const UDP: [Option_; 6] = each(
    libc::IPPROTO_UDP,
    Unconnected,
    [
        libc::UDP_CORK,
        100, // UDP_ENCAP
        101, // UDP_NO_CHECK6_TX
        102, // UDP_NO_CHECK6_RX
        libc::UDP_SEGMENT,
        libc::UDP_GRO,
    ],
);

const IP: [Option_; 4] = each(
    libc::IPPROTO_IP,
    Everywhere,
    [
        libc::IP_TOS,
        libc::IP_TTL,
        libc::IP_MULTICAST_LOOP,
        libc::IP_PKTINFO,
    ],
);

const MULTICAST: [Option_; 2] = each(
    libc::IPPROTO_IP,
    Datagrams,
    [libc::IP_MULTICAST_TTL, libc::IP_MULTICAST_IF],
);

const RARE_IP: [Option_; 21] = each(
    libc::IPPROTO_IP,
    Unconnected,
    [
        libc::IP_HDRINCL,
        libc::IP_OPTIONS,
        libc::IP_RECVOPTS,
        libc::IP_RETOPTS,
        libc::IP_MTU_DISCOVER,
        libc::IP_RECVERR,
        libc::IP_RECVTTL,
        libc::IP_RECVTOS,
        libc::IP_FREEBIND,
        18, // IP_PASSSEC
        libc::IP_TRANSPARENT,
        20, // IP_RECVORIGDSTADDR
        libc::IP_MINTTL,
        22, // IP_NODEFRAG
        23, // IP_CHECKSUM
        libc::IP_BIND_ADDRESS_NO_PORT,
        25, // IP_RECVFRAGSIZE
        26, // IP_RECVERR_RFC4884
        libc::IP_MULTICAST_ALL,
        libc::IP_UNICAST_IF,
        51, // IP_LOCAL_PORT_RANGE
    ],
);

const IPV6: [Option_; 6] = each(
    libc::IPPROTO_IPV6,
    Everywhere,
    [
        libc::IPV6_V6ONLY,
        libc::IPV6_UNICAST_HOPS,
        libc::IPV6_MULTICAST_LOOP,
        libc::IPV6_RECVPKTINFO,
        libc::IPV6_TCLASS,
        libc::IPV6_RECVTCLASS,
    ],
);

const MULTICAST6: [Option_; 2] = each(
    libc::IPPROTO_IPV6,
    Datagrams,
    [libc::IPV6_MULTICAST_HOPS, libc::IPV6_MULTICAST_IF],
);

const RARE_IPV6: [Option_; 31] = each(
    libc::IPPROTO_IPV6,
    Unconnected,
    [
        2, // IPV6_2292PKTINFO
        3, // IPV6_2292HOPOPTS
        4, // IPV6_2292DSTOPTS
        5, // IPV6_2292RTHDR
        7, // IPV6_CHECKSUM
        8, // IPV6_2292HOPLIMIT
        libc::IPV6_MTU_DISCOVER,
        libc::IPV6_RECVERR,
        libc::IPV6_MULTICAST_ALL,
        30, // IPV6_ROUTER_ALERT_ISOLATE
        31, // IPV6_RECVERR_RFC4884
        33, // IPV6_FLOWINFO_SEND
        libc::IPV6_RECVHOPLIMIT,
        libc::IPV6_RECVHOPOPTS,
        libc::IPV6_HOPOPTS,
        libc::IPV6_RTHDRDSTOPTS,
        libc::IPV6_RECVRTHDR,
        libc::IPV6_RTHDR,
        libc::IPV6_RECVDSTOPTS,
        libc::IPV6_DSTOPTS,
        libc::IPV6_RECVPATHMTU,
        libc::IPV6_DONTFRAG,
        70, // IPV6_AUTOFLOWLABEL
        72, // IPV6_ADDR_PREFERENCES
        73, // IPV6_MINHOPCOUNT
        74, // IPV6_RECVORIGDSTADDR
        libc::IPV6_TRANSPARENT,
        76, // IPV6_UNICAST_IF
        77, // IPV6_RECVFRAGSIZE
        libc::IPV6_FREEBIND,
        11, // IPV6_FLOWINFO
    ],
);

/// The filters of raw sockets.
const RAW: [Option_; 2] = [
    Option_ {
        level: IPPROTO_ICMP_LEVEL,
        name: 1, // ICMP_FILTER
        how: Unconnected,
    },
    Option_ {
        level: libc::IPPROTO_ICMPV6,
        name: 1, // ICMPV6_FILTER
        how: Unconnected,
    },
];

const NETLINK: [Option_; 7] = each(
    SOL_NETLINK,
    Unconnected,
    [
        libc::NETLINK_PKTINFO,
        libc::NETLINK_BROADCAST_ERROR,
        libc::NETLINK_NO_ENOBUFS,
        libc::NETLINK_LISTEN_ALL_NSID,
        libc::NETLINK_CAP_ACK,
        11, // NETLINK_EXT_ACK
        12, // NETLINK_GET_STRICT_CHK
    ],
);

const PACKET: [Option_; 7] = each(
    SOL_PACKET,
    Unconnected,
    [
        8,  // PACKET_AUXDATA
        9,  // PACKET_ORIGDEV
        14, // PACKET_LOSS
        15, // PACKET_VNET_HDR
        17, // PACKET_TIMESTAMP
        20, // PACKET_QDISC_BYPASS
        23, // PACKET_IGNORE_OUTGOING
    ],
);

const TABLE: [&[Option_]; 17] = [
    &GENERAL,
    &BUFFERS,
    &RARE,
    &LOCKS,
    &TCP,
    &SEGMENT,
    &RARE_TCP,
    &UDP,
    &IP,
    &MULTICAST,
    &RARE_IP,
    &IPV6,
    &MULTICAST6,
    &RARE_IPV6,
    &RAW,
    &NETLINK,
    &PACKET,
];

pub(super) fn all() -> impl Iterator<Item = Option_> {
    TABLE.into_iter().flatten().copied()
}

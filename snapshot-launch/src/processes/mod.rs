//! Other processes, from `/proc` and the kernel: the one reader of `/proc/PID` here.

pub(crate) mod child;
pub(crate) mod ends;
pub(crate) mod family;
pub(crate) mod files;
pub(crate) mod headway;
pub(crate) mod kin;
pub(crate) mod numbers;
pub(crate) mod outside;
pub(crate) mod own_name;
pub(crate) mod thread_list;

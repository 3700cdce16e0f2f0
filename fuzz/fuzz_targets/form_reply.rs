//! The fuzz target `form_reply`; what it checks is said where it is defined.

#![cfg_attr(fuzzing, no_main)]

bytehaul_fuzz::target!(form_reply);

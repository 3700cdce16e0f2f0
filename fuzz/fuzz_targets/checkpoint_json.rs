//! The fuzz target `checkpoint_json`; what it checks is said where it is defined.

#![cfg_attr(fuzzing, no_main)]

bytehaul_fuzz::target!(checkpoint_json);

;; Writes to stdout for ever, lines of 64 bytes.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "\10\00\00\00\00\00\01\00") ;; one buffer of 64 KiB at 16
  (func (export "_start") (local i32)
    (loop $fill
      (i32.store8 (i32.add (local.get 0) (i32.const 16)) (select (i32.const 10) (i32.const 120) (i32.eq (i32.and (local.get 0) (i32.const 63)) (i32.const 63))))
      (br_if $fill (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 65536))))
    (loop $l
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (br $l))))

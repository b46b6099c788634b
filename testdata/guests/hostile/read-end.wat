;; Reads standard input again and again although it has ended, and waits for more of it in between.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 64))
    (i32.store8 (i32.const 40) (i32.const 1)) ;; a subscription at 32: fd_read of descriptor 0
    (loop $l
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (drop (call $poll (i32.const 32) (i32.const 128) (i32.const 1) (i32.const 192)))
      (br $l))))

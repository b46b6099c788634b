;; Grows a table by 2^31 elements and exits with 0 when it did not.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (table $t 1 funcref)
  (func (export "_start")
    (call $exit (i32.ne (table.grow $t (ref.null func) (i32.const 0x7fffffff)) (i32.const -1)))))

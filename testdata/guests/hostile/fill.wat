;; Fills and copies 32 MiB for ever.
(module
  (memory (export "memory") 1024)
  (func (export "_start")
    (loop $l
      (memory.fill (i32.const 0) (i32.const 7) (i32.const 0x2000000))
      (memory.copy (i32.const 0x2000000) (i32.const 0) (i32.const 0x2000000))
      (br $l))))

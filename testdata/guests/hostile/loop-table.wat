;; Loops for ever through a br_table.
(module
  (memory (export "memory") 1)
  (func (export "_start") (local i32)
    (loop $l
      (local.set 0 (i32.xor (local.get 0) (i32.const 1)))
      (br_table $l $l (local.get 0)))))

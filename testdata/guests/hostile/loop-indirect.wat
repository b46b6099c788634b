;; Calls itself through a table for ever, a few frames deep each time.
(module
  (type $t (func (param i32)))
  (memory (export "memory") 1)
  (table funcref (elem $down))
  (func $down (type $t) (param i32)
    (if (local.get 0) (then
      (call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0))
      (call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0)))))
  (func (export "_start") (call_indirect (type $t) (i32.const 60) (i32.const 0))))

;; A command that makes references to a function for ever: the engine keeps every one.
(module
  (memory (export "memory") 1)
  (func $f)
  (elem declare func $f)
  (func (export "_start") (loop $l (drop (ref.func $f)) (br $l))))

rule Anywhere { strings: $a = /\bghp_[A-Za-z0-9]{36}\b/ condition: $a }

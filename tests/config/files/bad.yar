/* not YARA */
rule true { condition: true }

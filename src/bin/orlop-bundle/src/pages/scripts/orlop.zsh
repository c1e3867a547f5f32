#compdef orlop orlop-bundle
# zsh completion of orlop. The program itself says what may follow.

_orlop() {
    local line word
    local -a values
    for line in "${(@f)$("${words[1]/#\~\//$HOME/}" completion zsh -- "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}"; do
        word=${line%%$'\t'*}
        if [[ $word == \~/* ]]; then
            # A quoted tilde is no home directory.
            compadd -Q -S "${${(M)word%/}:+}" -- "~/${(q)${word#\~/}}"
        elif [[ $word == */ ]]; then
            compadd -S '' -- "$word"
        elif [[ -n $word ]]; then
            values+=("${word//:/\\:}:${line#*$'\t'}")
        fi
    done
    _describe -V orlop values
}

if [[ $funcstack[1] == _orlop ]]; then
    _orlop "$@"
else
    compdef _orlop orlop orlop-bundle
fi

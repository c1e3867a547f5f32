# bash completion of orlop. The program itself says what may follow.

_orlop() {
    local found word i=0
    mapfile -t found < <("${1/#\~\//$HOME/}" completion bash --line="${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
    COMPREPLY=()
    for word in "${found[@]}"; do
        # A quoted tilde is no home directory.
        case $word in
            "~/"*) printf -v "COMPREPLY[i++]" '~/%q' "${word#"~/"}" ;;
            *) printf -v "COMPREPLY[i++]" %q "$word" ;;
        esac
    done
    # A directory goes on.
    if [ "$i" = 1 ] && [[ $word == */ ]]; then compopt -o nospace; fi
}
complete -F _orlop orlop orlop-bundle

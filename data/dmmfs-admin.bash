# bash completion for dmmfs-admin(8)

_dmmfs_admin_migids()
{
	dmmfs-admin list --json 2>/dev/null | grep -o '"migid": *"\?[^",}]*' | sed 's/^"migid": *"\?//'
}

_dmmfs_admin()
{
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command='' i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		list | show | stat | where | finish | errors | db | log) command=${COMP_WORDS[i]} ;;
		esac
	done
	COMPREPLY=()

	case $before in
	-w | --watch | --wait | -n | --lines) return ;; # a number
	--database)
		mapfile -t COMPREPLY < <(compgen -W 'meta identity dirs files segments links links-ino errors' -- "$word")
		return
		;;
	--confdir | --rundir | --state)
		compopt -o filenames && mapfile -t COMPREPLY < <(compgen -d -- "$word")
		return
		;;
	esac
	if [[ $word == -* ]]; then
		local options='--json --confdir --rundir --help'
		case $command in
		'') options+=' --version' ;;
		stat) options+=' --watch -w' ;;
		finish) options+=' --lazy --wait' ;;
		db) options+=' --database --state' ;;
		log) options+=' --follow -f --lines -n' ;;
		esac
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
		return
	fi
	case $command in
	'') mapfile -t COMPREPLY < <(compgen -W 'list show stat where finish errors db log' -- "$word") ;;
	show | stat | finish | errors | log) mapfile -t COMPREPLY < <(compgen -W "$(_dmmfs_admin_migids)" -- "$word") ;;
	db)
		if [[ $before == db ]]; then
			mapfile -t COMPREPLY < <(compgen -W 'check dump export' -- "$word")
		elif [[ $before == check || $before == dump || $before == export ]]; then
			mapfile -t COMPREPLY < <(compgen -W "$(_dmmfs_admin_migids)" -- "$word")
		else
			compopt -o filenames && mapfile -t COMPREPLY < <(compgen -d -- "$word")
		fi
		;;
	where) compopt -o filenames && mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	esac
}
complete -F _dmmfs_admin dmmfs-admin
